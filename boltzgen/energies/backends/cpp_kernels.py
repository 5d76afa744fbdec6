"""C++ kernels of an energy: one a term, sixteen conformations side by side in registers.

Positions and gradients of a block of conformations stand in the core's cache as [atom][axis][lane]; a kernel
walks over its clusters and adds energy and gradient of all lanes at once. Nothing intermediate is stored.
"""

from __future__ import annotations

import torch

from boltzgen.codegen.cpp_prelude import prelude
from boltzgen.codegen.cpp_printer import TableFunctions, indented, statements
from boltzgen.codegen.graphs import ZERO
from boltzgen.energies.terms.cluster import ClusterTerm

# It returns 1 where there is no memory.
KERNEL_HEAD = """extern "C" int run(
    const Kernel* k, const T* __restrict x, T* __restrict f, T* __restrict e) {"""

LANE_LOOP = ["#pragma omp simd", "for (int l = 0; l < LANES; ++l) {"]


def kernel_prelude(dtype: torch.dtype) -> str:
    """Print what every kernel of a precision starts with.

    Parameters
    ----------
    dtype
        Precision of the positions.

    Returns
    -------
    str
        C++ source: types, functions, and what a kernel is given.
    """
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
    """Print the loop over blocks of conformations: copy a block in, run every kernel on it, copy it out.

    Parameters
    ----------
    dtype
        Precision of the positions.

    Returns
    -------
    str
        C++ source of a whole library.
    """
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


def cluster_kernel(term: ClusterTerm, dtype: torch.dtype) -> str:
    """Print the kernel of a sum over clusters of atoms.

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
    graphs, particles, n_parameters = term.graphs, term.particles, len(term.parameter_names)
    names = {f"{axis}{p + 1}": f"{axis}{p + 1}" for p in range(particles) for axis in "xyz"}
    names |= {f"parameter{i}": f"q{i}" for i in range(n_parameters)}
    functions = TableFunctions(term.tables)
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
