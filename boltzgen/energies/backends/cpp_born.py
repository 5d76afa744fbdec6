"""The C++ kernel of an implicit-solvent term: its stages follow each other while a block is in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from boltzgen.codegen.cpp_printer import TableFunctions, indented, statements
from boltzgen.codegen.graphs import ZERO, Node, variables
from boltzgen.codegen.operators import SMALLEST_DIVISOR
from boltzgen.energies.backends.cpp_kernels import KERNEL_HEAD, LANE_LOOP, kernel_prelude
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.born_graphs import PAIR, BornGraphs

# Memory of one thread, grown when a larger molecule comes and kept: a fresh block would be paged in anew.
_SCRATCH = """
static T* scratch(int64_t size) {
  static thread_local T* memory = nullptr;
  static thread_local int64_t room = 0;
  if (size > room) {
    free(memory);
    memory = static_cast<T*>(aligned_alloc(64, sizeof(T) * size));
    room = memory ? size : 0;
  }
  return memory;
}
"""


def born_kernel(term: BornTerm, dtype: torch.dtype) -> str:
    """Print the kernel of an implicit-solvent term.

    Parameters
    ----------
    term
        The term.
    dtype
        Precision of the positions.

    Returns
    -------
    str
        C++ source of a whole library.
    """
    return _Printer(term.graphs, len(term.parameter_names), TableFunctions(term.tables)).source(dtype)


class _Printer:
    def __init__(self, graphs: BornGraphs, n_parameters: int, tables: TableFunctions) -> None:
        self.graphs, self.n_parameters, self.tables = graphs, n_parameters, tables

    def source(self, dtype: torch.dtype) -> str:
        graphs = self.graphs
        n_sums, n_values = len(graphs.sums), graphs.n_values
        body = [
            "  const int64_t n = k->n_atoms, all = n * (n - 1) / 2, row = LANES, plane = n * LANES;",
            "  const int32_t* everything = k->atoms;",
            "  const int32_t* kept = k->atoms + 2 * all;",
            f"  T* values = scratch(({2 * n_values} * n + {2 * n_sums} * all) * LANES);",
            "  if (!values) return 1;",
            f"  T* slopes = values + {n_values} * plane;",
            f"  T* stored = slopes + {n_values} * plane;",
            f"  for (int64_t i = 0; i < {2 * n_values} * plane; ++i) values[i] = T(0);",
        ]
        for m, (kind, outputs) in enumerate(graphs.sums):
            body += self._sum(m, kind, outputs)
        if graphs.derived:
            assigned = [
                f"values[{n_sums + m} * plane + i * row + l] = {{}};" for m in range(len(graphs.derived))
            ]
            body += self._over_atoms(graphs.derived, assigned)
        forces = [f"f[(3 * i + {axis}) * LANES + l] += {{}};" for axis in range(3)]
        received = [f"slopes[{m} * plane + i * row + l] += {{}};" for m in range(n_values)]
        body += self._over_atoms(graphs.single, ["e[l] += {};", *forces, *received])
        for kind, outputs in graphs.pair:
            ends = [
                f"slopes[{m} * plane + {end} * row + l] += {{}};" for end in "ij" for m in range(n_values)
            ]
            body += self._over_pairs(kind, [(outputs, False, ["e[l] += {};", "by_r += {};", *ends])])
        body += self._over_atoms(graphs.back, [*forces, *received[:n_sums]])
        for m, (kind, _) in enumerate(graphs.sums):
            by_r = " + ".join(
                f"slopes[{m} * plane + {end} * row + l] * stored[({2 * m} * all + 2 * c + {side}) * row + l]"
                for side, end in enumerate("ij")
            )
            body += self._over_pairs(kind, [], [f"by_r += {by_r};"])
        return "\n".join(
            [
                kernel_prelude(dtype),
                *self.tables.sources.values(),
                _SCRATCH,
                KERNEL_HEAD,
                *body,
                "  return 0;",
                "}",
                "",
            ]
        )

    def _sum(self, m: int, kind: str, outputs: list[Node]) -> list[str]:
        def stores(side: int, end: str) -> list[str]:
            return [
                f"values[{m} * plane + {end} * row + l] += {{}};",
                f"stored[({2 * m} * all + 2 * c + {side}) * row + l] = {{}};",
            ]

        return self._over_pairs(
            kind, [(outputs, False, stores(0, "i")), (outputs, True, stores(1, "j"))], moves=False
        )

    def _over_atoms(self, outputs: Sequence[Node], uses: Sequence[str]) -> list[str]:
        """A loop over atoms i that evaluates the graphs and puts each result to its use."""
        names = self._names("i", "i")
        names |= {axis: f"x[(3 * i + {row}) * LANES + l]" for row, axis in enumerate("xyz")}
        for m in range(len(self.graphs.derived)):
            names[f"weight{m}"] = f"slopes[{len(self.graphs.sums) + m} * plane + i * row + l]"
        uniform, lanes = self._stage(outputs, names, uses, "a")
        return [
            "  for (int64_t i = 0; i < n; ++i) {",
            f"    const T* p1 = k->parameters + i * {self.n_parameters};",
            *indented(2, [*uniform, *LANE_LOOP]),
            *indented(3, lanes),
            "    }",
            "  }",
        ]

    def _over_pairs(
        self,
        kind: str,
        stages: Sequence[tuple[Sequence[Node], bool, Sequence[str]]],
        extra: Iterable[str] = (),
        moves: bool = True,
    ) -> list[str]:
        """A loop over pairs i, j; each stage is (graphs, whether the two atoms change roles, uses)."""
        pairs, count = ("kept", "k->count") if kind == PAIR else ("everything", "all")
        before = [
            f"const int64_t i = {pairs}[2 * c], j = {pairs}[2 * c + 1];",
            f"const T* p1 = k->parameters + i * {self.n_parameters};",
            f"const T* p2 = k->parameters + j * {self.n_parameters};",
            "const T *X1 = x + 3 * i * LANES, *X2 = x + 3 * j * LANES;",
            "T *F1 = f + 3 * i * LANES, *F2 = f + 3 * j * LANES;",
        ]
        inside = [
            "const T dx = X1[l] - X2[l], dy = X1[LANES + l] - X2[LANES + l];",
            "const T dz = X1[2 * LANES + l] - X2[2 * LANES + l];",
            "const T r = sqrt_(dx * dx + dy * dy + dz * dz);",
            "T by_r = T(0);",
        ]
        for number, (outputs, swapped, uses) in enumerate(stages):
            names = self._names("j", "i") if swapped else self._names("i", "j")
            uniform, lanes = self._stage(outputs, names | {"r": "r"}, uses, "ab"[number])
            before += uniform
            inside += lanes
        inside += extra
        if moves:
            inside.append(f"const T along = by_r / max_(r, T({SMALLEST_DIVISOR!r}));")
            for axis, d in enumerate(("dx", "dy", "dz")):
                inside.append(f"F1[{axis} * LANES + l] += along * {d};")
                inside.append(f"F2[{axis} * LANES + l] -= along * {d};")
        return [
            f"  for (int64_t c = 0; c < {count}; ++c) {{",
            *indented(2, [*before, *LANE_LOOP]),
            *indented(3, inside),
            "    }",
            "  }",
        ]

    def _names(self, first: str, second: str) -> dict[str, str]:
        """C++ of the variables of the atom in role 1 and of the one in role 2."""
        names: dict[str, str] = {}
        for role, atom in ((1, first), (2, second)):
            pointer = "p2" if atom == "j" else "p1"
            names |= {f"parameter{c}_{role}": f"{pointer}[{c}]" for c in range(self.n_parameters)}
            names |= {
                f"value{m}_{role}": f"values[{m} * plane + {atom} * row + l]"
                for m in range(self.graphs.n_values)
            }
        return names

    def _stage(
        self, outputs: Sequence[Node], names: Mapping[str, str], uses: Sequence[str], prefix: str
    ) -> tuple[list[str], list[str]]:
        """Code before the loop over lanes and in it; a result that is always zero is not used."""
        used = sorted(set().union(*(variables(output) for output in outputs))) if outputs else []
        local = {name: f"{prefix}_{name}" for name in used}
        loads = {name: f"const T {local[name]} = {names[name]};" for name in used}
        code = statements(outputs, local, self.tables, prefix)
        written = [
            use.format(result)
            for use, result, output in zip(uses, code.outputs, outputs, strict=True)
            if output is not ZERO or " += " not in use
        ]
        uniform = [line for name, line in loads.items() if name.startswith("parameter")]
        varying = [line for name, line in loads.items() if not name.startswith("parameter")]
        return [*uniform, *code.uniform], [*varying, *code.lanes, *written]
