"""Expression graphs printed as C++: one kernel a term, sixteen conformations side by side in registers.

Positions and gradients of a block of conformations stand in the core's cache as [atom][axis][lane]; a kernel
walks over its clusters and adds energy and gradient of all lanes at once. Nothing intermediate is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from boltzgen.codegen.language import prelude
from boltzgen.energies.algebra import ZERO, Node, topological
from boltzgen.energies.tables import Table, pack, table_source
from boltzgen.energies.torch_code import SMALLEST_DIVISOR

_TEMPLATES = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "pow": "pow_({}, {})",
    "norm": "sqrt_({})",
    "guard": f"max_({{}}, T({SMALLEST_DIVISOR!r}))",
    "step": "({} >= T(0) ? T(1) : T(0))",
    "delta": "({} == T(0) ? T(1) : T(0))",
    "select": "({} != T(0) ? {} : {})",
}


# It returns 1 where there is no memory.
KERNEL_HEAD = """extern "C" int run(
    const Kernel* k, const T* __restrict x, T* __restrict f, T* __restrict e) {"""

LANE_LOOP = ["#pragma omp simd", "for (int l = 0; l < LANES; ++l) {"]


def kernel_prelude(dtype: torch.dtype) -> str:
    """What every kernel of this precision starts with."""
    return (
        prelude(dtype)
        + """struct Kernel {
  int (*run)(const Kernel*, const T*, T*, T*);
  int64_t count;
  int64_t n_atoms;
  const int32_t* atoms;
  const T* parameters;
  const double* tables;
};
"""
    )


def driver_source(dtype: torch.dtype) -> str:
    """The loop over blocks of conformations: copy a block in, run every kernel on it, copy it out."""
    return (
        kernel_prelude(dtype)
        + r"""
extern "C" int evaluate(const Kernel* kernels, int64_t n_kernels, int64_t n_atoms, int64_t batch,
                        int64_t begin, int64_t end, const T* positions, T* energies, T* gradients) {
  const int64_t rows = 3 * n_atoms;
  T* x = static_cast<T*>(aligned_alloc(64, sizeof(T) * 2 * rows * LANES));
  if (!x) return 1;
  T* f = x + rows * LANES;
  for (int64_t start = begin; start < end; start += LANES) {
    const int64_t width = end - start < LANES ? end - start : LANES;
    for (int64_t axis = 0; axis < 3; ++axis)
      for (int64_t atom = 0; atom < n_atoms; ++atom) {
        const T* source = positions + (axis * n_atoms + atom) * batch + start;
        T* row = x + (3 * atom + axis) * LANES;
        for (int64_t lane = 0; lane < width; ++lane) row[lane] = source[lane];
        for (int64_t lane = width; lane < LANES; ++lane) row[lane] = source[width - 1];
      }
    for (int64_t i = 0; i < rows * LANES; ++i) f[i] = T(0);
    double total[LANES] = {0};
    for (int64_t k = 0; k < n_kernels; ++k) {
      alignas(64) T energy[LANES] = {0};
      if (kernels[k].run(kernels + k, x, f, energy)) {
        free(x);
        return 1;
      }
      for (int lane = 0; lane < LANES; ++lane) total[lane] += energy[lane];
    }
    // comparisons with NaN are false: what is not finite gets +inf and no gradient
    int32_t keep[LANES];
    for (int lane = 0; lane < LANES; ++lane) keep[lane] = fabs_(T(total[lane])) <= LARGEST;
    for (int64_t row = 0; row < rows; ++row)
      for (int lane = 0; lane < LANES; ++lane) {
        keep[lane] &= fabs_(f[row * LANES + lane]) <= LARGEST;
        keep[lane] &= fabs_(x[row * LANES + lane]) <= LARGEST;
      }
    for (int64_t lane = 0; lane < width; ++lane)
      energies[start + lane] = keep[lane] ? T(total[lane]) : T(__builtin_inf());
    for (int64_t axis = 0; axis < 3; ++axis)
      for (int64_t atom = 0; atom < n_atoms; ++atom) {
        T* target = gradients + (axis * n_atoms + atom) * batch + start;
        const T* row = f + (3 * atom + axis) * LANES;
        for (int64_t lane = 0; lane < width; ++lane) target[lane] = keep[lane] ? row[lane] : T(0);
      }
  }
  free(x);
  return 0;
}
"""
    )


class TableFunctions:
    """C++ functions for the tabulated functions that a kernel's graphs call."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables = tables
        self.offsets = pack(tables)[1]
        self.sources: dict[str, str] = {}

    def call(self, n: Node, arguments: Sequence[str]) -> str:
        """C++ that evaluates a table node."""
        name, orders = n.value  # type: ignore[misc, str-unpack]
        function = f"table{self.offsets[name]}_{''.join(map(str, orders))}"
        if function not in self.sources:
            self.sources[function] = table_source(self.tables[name], function, self.offsets[name], orders)  # type: ignore[arg-type]
        return f"{function}(k->tables, {', '.join(arguments)})"


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
            if n.op == "table":
                value = tables.call(n, arguments)
            else:
                function = "fabs" if n.op == "abs" else n.op
                template = _TEMPLATES.get(n.op, f"{function}_({', '.join(['{}'] * len(arguments))})")
                value = template.format(*arguments)
            line = f"const T {known[id(n)]} = {value};"
            if any(id(a) in varying for a in n.args):
                varying.add(id(n))
                lanes.append(line)
            else:
                uniform.append(line)
    return Statements(uniform, lanes, [known[id(n)] for n in outputs])


def indented(depth: int, lines: Iterable[str]) -> list[str]:
    return ["  " * depth + line for line in lines]


def cluster_kernel(
    graphs: Sequence[Node], particles: int, n_parameters: int, dtype: torch.dtype, tables: Mapping[str, Table]
) -> str:
    """Kernel of a ClusterTerm: graphs are its energy and the derivative by each coordinate."""
    names = {f"{axis}{p + 1}": f"{axis}{p + 1}" for p in range(particles) for axis in "xyz"}
    names |= {f"parameter{i}": f"q{i}" for i in range(n_parameters)}
    functions = TableFunctions(tables)
    code = statements(graphs, names, functions)
    energy, *slopes = code.outputs
    before = [
        f"const int32_t* a = k->atoms + c * {particles};",
        f"const T* p = k->parameters + c * {n_parameters};",
    ]
    before += [f"const T q{i} = p[{i}];" for i in range(n_parameters)]
    inside = []
    for p in range(particles):
        before.append(f"const T* X{p + 1} = x + a[{p}] * 3 * LANES;")
        before.append(f"T* F{p + 1} = f + a[{p}] * 3 * LANES;")
        inside += [f"const T {axis}{p + 1} = X{p + 1}[{row} * LANES + l];" for row, axis in enumerate("xyz")]
    inside += [*code.lanes, f"e[l] += {energy};"]
    for column, (slope, graph) in enumerate(zip(slopes, graphs[1:], strict=True)):
        if graph is not ZERO:
            particle, axis_index = divmod(column, 3)
            inside.append(f"F{particle + 1}[{axis_index} * LANES + l] += {slope};")
    lines = [
        kernel_prelude(dtype),
        *functions.sources.values(),
        KERNEL_HEAD,
        "  for (int64_t c = 0; c < k->count; ++c) {",
        *indented(2, [*before, *code.uniform, *LANE_LOOP]),
        *indented(3, inside),
        "    }",
        "  }",
        "  return 0;",
        "}",
    ]
    return "\n".join([*lines, ""])
