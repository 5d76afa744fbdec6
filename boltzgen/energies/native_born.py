"""The C++ kernel of an implicit-solvent term: its stages follow each other while a block is in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from .algebra import ZERO, Node, variables
from .native_code import KERNEL_HEAD, TableFunctions, prelude, statements
from .tables import Table
from .torch_code import SMALLEST_DIVISOR

if TYPE_CHECKING:
    from .born import BornGraphs

# Memory of one thread, grown when a larger molecule comes and kept: a fresh block would be paged in anew.
_SCRATCH = """
static T* scratch(int64_t size) {
  static thread_local T* memory = nullptr;
  static thread_local int64_t room = 0;
  if (size > room) {
    free(memory);
    memory = static_cast<T*>(aligned_alloc(64, sizeof(T) * size));
    if (!memory) abort();
    room = size;
  }
  return memory;
}
"""


def born_kernel(
    graphs: BornGraphs, n_parameters: int, dtype: torch.dtype, tables: Mapping[str, Table]
) -> str:
    """Kernel of a BornTerm."""
    return _Printer(graphs, n_parameters, TableFunctions(tables)).source(dtype)


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
            [prelude(dtype), *self.tables.sources.values(), _SCRATCH, KERNEL_HEAD, *body, "}", ""]
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
        lines = [
            "  for (int64_t i = 0; i < n; ++i) {",
            f"    const T* p1 = k->parameters + i * {self.n_parameters};",
            "    #pragma omp simd",
            "    for (int l = 0; l < LANES; ++l) {",
        ]
        names = self._names(outputs, "i", "i", False)
        names |= {axis: f"x[(3 * i + {row}) * LANES + l]" for row, axis in enumerate("xyz")}
        for m in range(len(self.graphs.derived)):
            names[f"weight{m}"] = f"slopes[{len(self.graphs.sums) + m} * plane + i * row + l]"
        return [*lines, *self._stage(outputs, names, uses), "    }", "  }"]

    def _over_pairs(
        self,
        kind: str,
        stages: Sequence[tuple[Sequence[Node], bool, Sequence[str]]],
        extra: Iterable[str] = (),
        moves: bool = True,
    ) -> list[str]:
        """A loop over pairs i, j; each stage is (graphs, whether the two atoms change roles, uses)."""
        pairs, count = ("kept", "k->count") if kind == "pair" else ("everything", "all")
        lines = [
            f"  for (int64_t c = 0; c < {count}; ++c) {{",
            f"    const int64_t i = {pairs}[2 * c], j = {pairs}[2 * c + 1];",
            f"    const T *p1 = k->parameters + i * {self.n_parameters}, "
            f"*p2 = k->parameters + j * {self.n_parameters};",
            "    const T *X1 = x + 3 * i * LANES, *X2 = x + 3 * j * LANES;",
            "    T *F1 = f + 3 * i * LANES, *F2 = f + 3 * j * LANES;",
            "    #pragma omp simd",
            "    for (int l = 0; l < LANES; ++l) {",
            "      const T dx = X1[l] - X2[l], dy = X1[LANES + l] - X2[LANES + l];",
            "      const T dz = X1[2 * LANES + l] - X2[2 * LANES + l];",
            "      const T r = sqrt_(dx * dx + dy * dy + dz * dz);",
            "      T by_r = T(0);",
        ]
        for outputs, swapped, uses in stages:
            names = self._names(outputs, "i", "j", swapped)
            lines += ["      {", *self._stage(outputs, names | {"r": "r"}, uses), "      }"]
        lines += [f"      {line}" for line in extra]
        if moves:
            lines.append(f"      const T along = by_r / max_(r, T({SMALLEST_DIVISOR!r}));")
            for axis, d in enumerate(("dx", "dy", "dz")):
                lines.append(f"      F1[{axis} * LANES + l] += along * {d};")
                lines.append(f"      F2[{axis} * LANES + l] -= along * {d};")
        return [*lines, "    }", "  }"]

    def _names(self, outputs: Sequence[Node], first: str, second: str, swapped: bool) -> dict[str, str]:
        """C++ of each variable of the graphs; if swapped, the second atom has role 1 and the first role 2."""
        used = set().union(*(variables(output) for output in outputs)) if outputs else set()
        names: dict[str, str] = {}
        for role, (atom, pointer) in enumerate(((first, "p1"), (second, "p2")), start=1):
            side = 3 - role if swapped else role
            names |= {f"parameter{c}_{side}": f"{pointer}[{c}]" for c in range(self.n_parameters)}
            names |= {
                f"value{m}_{side}": f"values[{m} * plane + {atom} * row + l]"
                for m in range(self.graphs.n_values)
                if f"value{m}_{side}" in used
            }
        return names

    def _stage(self, outputs: Sequence[Node], names: Mapping[str, str], uses: Sequence[str]) -> list[str]:
        """Loads, arithmetic and uses of the results; a result that is always zero is not used."""
        used = sorted(set().union(*(variables(output) for output in outputs))) if outputs else []
        loads = [f"        const T in_{name} = {names[name]};" for name in used]
        body, results = statements(outputs, {name: f"in_{name}" for name in used}, "        ", self.tables)
        written = [
            f"        {use.format(result)}"
            for use, result, output in zip(uses, results, outputs, strict=True)
            if output is not ZERO or " += " not in use
        ]
        return [*loads, *body, *written]
