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

    Parameters
    ----------
    tables
        Tabulated functions by name.
    pointer
        What the kernel calls its packed tables.

    Attributes
    ----------
    sources
        Source of each function that has been called, by its name.
    """

    def __init__(self, tables: Mapping[str, Table], pointer: str = "k->tables") -> None:
        self.tables, self.pointer = tables, pointer
        self.offsets = pack(tables)[1]
        self.sources: dict[str, str] = {}

    def call(self, n: Node, arguments: Sequence[str]) -> str:
        """Print the evaluation of a table node, and keep the source of the function that it calls.

        Parameters
        ----------
        n
            A node with the operation ``"table"``.
        arguments
            C++ expressions of the table's arguments.

        Returns
        -------
        str
            A C++ expression.
        """
        name, orders = n.value  # type: ignore[misc, str-unpack]
        function = f"table{self.offsets[name]}_{''.join(map(str, orders))}"
        if function not in self.sources:
            self.sources[function] = table_source(self.tables[name], function, self.offsets[name], orders)  # type: ignore[arg-type]
        return f"{function}({self.pointer}, {', '.join(arguments)})"


@dataclass(frozen=True)
class Statements:
    """Straight-line C++.

    Attributes
    ----------
    uniform
        Statements whose values are the same for every lane.
    lanes
        Statements whose values are not.
    outputs
        Names of the outputs.
    """

    uniform: list[str]
    lanes: list[str]
    outputs: list[str]


def statements(
    outputs: Sequence[Node], names: Mapping[str, str], tables: TableFunctions, prefix: str = "v"
) -> Statements:
    """Print assignments that compute outputs of a graph.

    What depends on parameters alone is computed once for all lanes.

    Parameters
    ----------
    outputs
        Nodes to compute.
    names
        C++ names of the graph's variables. Variables that begin with "parameter" do not vary between lanes.
    tables
        Printer of the tabulated functions.
    prefix
        Beginning of the names of new C++ variables.

    Returns
    -------
    Statements
        The assignments in order, and what the outputs are called.
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
    """Indent lines of source by two spaces for each level.

    Parameters
    ----------
    depth
        Number of levels.
    lines
        Lines without newlines.

    Returns
    -------
    list of str
        The indented lines.
    """
    return ["  " * depth + line for line in lines]
