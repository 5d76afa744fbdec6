"""Expression graphs printed as straight-line C++ for one lane of a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from boltzgen.codegen.cpp_tables import table_source
from boltzgen.codegen.graphs import Node, topological
from boltzgen.codegen.operators import OPERATORS
from boltzgen.codegen.tables import Table, pack


class TableFunctions:
    """C++ functions for the tabulated functions that a kernel's graphs call.

    ``pointer`` is what the kernel calls its packed tables.
    """

    def __init__(self, tables: Mapping[str, Table], pointer: str = "k->tables") -> None:
        self.tables, self.pointer = tables, pointer
        self.offsets = pack(tables)[1]
        self.sources: dict[str, str] = {}

    def call(self, n: Node, arguments: Sequence[str]) -> str:
        """C++ that evaluates a table node."""
        name, orders = n.value  # type: ignore[misc, str-unpack]
        function = f"table{self.offsets[name]}_{''.join(map(str, orders))}"
        if function not in self.sources:
            self.sources[function] = table_source(self.tables[name], function, self.offsets[name], orders)  # type: ignore[arg-type]
        return f"{function}({self.pointer}, {', '.join(arguments)})"


@dataclass(frozen=True)
class Statements:
    """Straight-line C++: what is the same for every lane, what is not, and the names of the outputs."""

    uniform: list[str]
    lanes: list[str]
    outputs: list[str]


def statements(
    outputs: Sequence[Node], names: Mapping[str, str], tables: TableFunctions, prefix: str = "v"
) -> Statements:
    """Assignments that compute the outputs from C++ names of the variables.

    What depends on parameters alone is computed once for all lanes.
    """
    known: dict[int, str] = {}
    varying: set[int] = set()
    uniform, lanes = [], []
    for n in topological(outputs):
        if n.op == "variable":
            known[id(n)] = names[str(n.value)]
            if not str(n.value).startswith("parameter"):
                varying.add(id(n))
        elif n.op == "constant":
            known[id(n)] = f"T({n.value!r})"
        else:
            arguments = [known[id(a)] for a in n.args]
            known[id(n)] = f"{prefix}{len(known)}"
            of_table = n.op == "table"
            value = tables.call(n, arguments) if of_table else OPERATORS[n.op].cpp.format(*arguments)
            line = f"const T {known[id(n)]} = {value};"
            if any(id(a) in varying for a in n.args):
                varying.add(id(n))
                lanes.append(line)
            else:
                uniform.append(line)
    return Statements(uniform, lanes, [known[id(n)] for n in outputs])


def indented(depth: int, lines: Iterable[str]) -> list[str]:
    return ["  " * depth + line for line in lines]
