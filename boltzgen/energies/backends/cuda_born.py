"""The CUDA loops of an implicit-solvent term.

Its stages are those of ``BornGraphs``. Pairs are divided among the warps of a conformation, which meet where
sums over pairs are complete. Derivatives of pairs are computed again when they are needed a second time: to
keep them would cost more in memory than they cost in arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

from boltzgen.codegen.cpp_printer import TableFunctions, indented, statements
from boltzgen.codegen.graphs import ZERO, Node, variables
from boltzgen.codegen.operators import SMALLEST_DIVISOR
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.born_graphs import PAIR

NOT_UNROLLED = (
    "#pragma unroll 1"  # what a turn of a loop writes may be what the next reads: nothing is gained
)


def n_values(term: BornTerm) -> int:
    """Number of values that the term keeps for each atom.

    Parameters
    ----------
    term
        An implicit-solvent term.

    Returns
    -------
    int
        Sums and derived values.
    """
    return term.graphs.n_values


def born_body(term: BornTerm, tables: TableFunctions) -> list[str]:
    """Print the loops over pairs and atoms, which add to ``e``, to the gradient and to the values of ``w``.

    Parameters
    ----------
    term
        An implicit-solvent term.
    tables
        Printer of the tabulated functions, which collects those that the term calls.

    Returns
    -------
    list of str
        Lines of CUDA C++.
    """
    return _Printer(term, tables).body()


class _Printer:
    def __init__(self, term: BornTerm, tables: TableFunctions) -> None:
        self.graphs, self.n_parameters, self.tables = term.graphs, len(term.parameter_names), tables

    def body(self) -> list[str]:
        graphs = self.graphs
        sums, derived = range(len(graphs.sums)), range(len(graphs.sums), graphs.n_values)
        lines = ["const int n = w.n, all = n * (n - 1) / 2;"]

        for m in sums:
            kind, (f, _) = graphs.sums[m]
            lines += self._over_pairs(
                kind,
                [
                    ([f], False, [f"w.s[({m} * n + i) * w.row] += {{}};"]),
                    ([f], True, [f"w.s[({m} * n + j) * w.row] += {{}};"]),
                ],
            )

        lines.append("w.wait();")
        complete = [f"w.values[({m} * n + i) * w.row] = w.taken({m} * n + i);" for m in sums]
        assigned = [f"w.values[({m} * n + i) * w.row] = {{}};" for m in derived]
        lines += self._over_atoms(graphs.derived, assigned, complete)
        lines.append("w.wait();")

        forces = [f"F1[{axis} * w.axis] += {{}};" for axis in range(3)]
        received = [f"w.s[({m} * n + i) * w.row] += {{}};" for m in range(graphs.n_values)]
        lines += self._over_atoms(graphs.single, ["e += {};", *forces, *received])
        for kind, outputs in graphs.pair:
            ends = [
                f"w.s[({m} * n + {end}) * w.row] += {{}};" for end in "ij" for m in range(graphs.n_values)
            ]
            lines += self._over_pairs(
                kind, [(outputs, False, ["e += {};", "by_r += {};", *ends])], moves=True
            )

        lines.append("w.wait();")
        weights = [f"const T weight{m - len(sums)} = w.taken({m} * n + i);" for m in derived]
        slopes = [f"T slope{m} = w.taken({m} * n + i);" for m in sums]
        replaced = [
            f"w.values[({m} * n + i) * w.row] = slope{m};" for m in sums
        ]  # not read as values any more
        back = [f"slope{m} += {{}};" for m in sums]
        lines += self._over_atoms(graphs.back, [*forces, *back], [*weights, *slopes], replaced)
        lines.append("w.wait();")

        for m in sums:
            kind, (_, df) = graphs.sums[m]
            ends = [f"by_r += w.values[({m} * n + {end}) * w.row] * {{}};" for end in "ij"]
            lines += self._over_pairs(kind, [([df], False, [ends[0]]), ([df], True, [ends[1]])], moves=True)
        return lines

    def _over_atoms(
        self,
        outputs: Sequence[Node],
        uses: Sequence[str],
        before: Sequence[str] = (),
        after: Sequence[str] = (),
    ) -> list[str]:
        """A loop over atoms i that evaluates the graphs and puts each result to its use."""
        names = {f"parameter{c}_1": f"p1[{c}]" for c in range(self.n_parameters)}
        names |= {f"value{m}_1": f"w.values[({m} * n + i) * w.row]" for m in range(self.graphs.n_values)}
        names |= {axis: f"w.x[i * w.atom + {row} * w.axis]" for row, axis in enumerate("xyz")}
        names |= {f"weight{m}": f"weight{m}" for m in range(len(self.graphs.derived))}
        inside = [f"const T* p1 = parameters + i * {self.n_parameters};", "T* F1 = w.f + i * w.atom;"]
        inside += [*before, *self._stage(outputs, names, uses, "a"), *after]
        return [NOT_UNROLLED, "for (int i = w.warp; i < n; i += w.warps) {", *indented(1, inside), "}"]

    def _over_pairs(
        self, kind: str, stages: Sequence[tuple[Sequence[Node], bool, Sequence[str]]], moves: bool = False
    ) -> list[str]:
        """A loop over pairs i, j; each stage is (graphs, whether the two atoms change roles, uses)."""
        pairs, count = ("atoms + 2 * all", "count") if kind == PAIR else ("atoms", "all")
        inside = [
            "const int i = pairs[2 * c], j = pairs[2 * c + 1];",
            f"const T* p1 = parameters + i * {self.n_parameters};",
            f"const T* p2 = parameters + j * {self.n_parameters};",
            "const T *X1 = w.x + i * w.atom, *X2 = w.x + j * w.atom;",
            "const T dx = X1[0] - X2[0], dy = X1[w.axis] - X2[w.axis], dz = X1[2 * w.axis] - X2[2 * w.axis];",
            "const T r = sqrt_(dx * dx + dy * dy + dz * dz);",
        ]
        if moves:
            inside.append("T by_r = T(0);")
        for number, (outputs, swapped, uses) in enumerate(stages):
            names = {"r": "r"}
            for side, atom in ((1, "i"), (2, "j")):
                role = 3 - side if swapped else side
                names |= {f"parameter{c}_{role}": f"p{side}[{c}]" for c in range(self.n_parameters)}
                names |= {
                    f"value{m}_{role}": f"w.values[({m} * n + {atom}) * w.row]"
                    for m in range(self.graphs.n_values)
                }
            inside += self._stage(outputs, names, uses, "ab"[number])
        if moves:
            inside.append("T *F1 = w.f + i * w.atom, *F2 = w.f + j * w.atom;")
            inside.append(f"const T along = by_r / max_(r, T({SMALLEST_DIVISOR!r}));")
            for axis, d in enumerate(("dx", "dy", "dz")):
                inside += [f"F1[{axis} * w.axis] += along * {d};", f"F2[{axis} * w.axis] -= along * {d};"]
        head = [
            f"const int* pairs = {pairs};",
            NOT_UNROLLED,
            f"for (int c = w.warp; c < {count}; c += w.warps) {{",
        ]
        return ["{", *indented(1, [*head, *indented(1, inside), "}"]), "}"]

    def _stage(
        self, outputs: Sequence[Node], names: dict[str, str], uses: Sequence[str], prefix: str
    ) -> list[str]:
        """Loads, statements and the uses of the results; a result that is always zero is not added."""
        used = sorted(set().union(*(variables(output) for output in outputs))) if outputs else []
        local = {name: f"{prefix}_{name}" for name in used}
        code = statements(outputs, local, self.tables, prefix)
        written = [
            use.format(result)
            for use, result, output in zip(uses, code.outputs, outputs, strict=True)
            if output is not ZERO or " += " not in use
        ]
        loads = [f"const T {local[name]} = {names[name]};" for name in used]
        return [*loads, *code.uniform, *code.lanes, *written]
