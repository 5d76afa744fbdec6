"""The CUDA source of an energy: all terms in one kernel, a conformation a thread.

Every term is a loop over a table of atoms and parameters, so that the source depends on the terms' formulas
and serves every molecule that has these. There are two kernels around the same loops:

``tiles``
    A block is 32 conformations and several warps. Positions are in shared memory; each warp takes every W-th
    cluster of the tables and adds to a gradient of its own, and the gradients of all warps are summed at the
    end. Nothing is added atomically, so that the result is the same to the bit every time.
``columns``
    A thread alone does all of a conformation, in global memory: for large batches, where there are enough
    threads without dividing conformations, and for molecules whose tiles do not fit.

Energies are summed in double precision. Rows of positions and gradients are [axis][atom] in global memory and
[atom][axis] in tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from boltzgen.codegen.cpp_printer import TableFunctions, indented, statements
from boltzgen.codegen.cuda_prelude import prelude
from boltzgen.codegen.graphs import ZERO
from boltzgen.energies.backends.cuda_born import NOT_UNROLLED, born_body, n_values
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.energies.terms.term import GraphTerm

TILE = 32  # conformations of a block of ``tiles``: one a lane of a warp
COLUMN_BLOCK = 128  # conformations of a block of ``columns``
MOST_WARPS = {torch.float32: 16, torch.float64: 8}  # of a block: with more, registers would be spilled

_DECLARATIONS = r"""
// Where the tables of each term begin: count, atoms, parameters and tables are four integers a term.
struct Data { const int* integers; const T* parameters; const Entry* tables; };

// A conformation in shared memory, as one of its warps sees it.
struct Tile {
  static constexpr int atom = 3 * 32, axis = 32, row = 32;
  const T* x;            // positions, of all warps
  T* f;                  // gradient, of this warp
  T* s;                  // sums over pairs, of this warp
  T* values;             // values of atoms, of all warps
  T* first;              // the sums of warp 0
  int n, warp, warps, apart;
  __device__ __forceinline__ void wait() const { __syncthreads(); }
  // A row of sums over all warps, which is zero afterwards.
  __device__ __forceinline__ T taken(int index) const {
    T total = T(0);
    for (int other = 0; other < warps; ++other) {
      T* part = first + other * apart + index * row;
      total += *part;
      *part = T(0);
    }
    return total;
  }
};

// A conformation in global memory that a thread has for itself.
struct Column {
  int64_t atom, axis, row;
  const T* x;
  T *f, *s, *values;
  int n;
  static constexpr int warp = 0, warps = 1;
  __device__ __forceinline__ void wait() const {}
  __device__ __forceinline__ T taken(int index) const {
    const T total = s[index * row];
    s[index * row] = T(0);
    return total;
  }
};
"""

_ENTRIES = r"""
template <class Where> INLINE double energy_of(const Where& w, const Data& d) {
  double total = 0;
@CALLS@
  return total;
}

extern "C" __global__ void __launch_bounds__(@MOST_THREADS@, 1) tiles(
    const int* __restrict__ integers, const T* __restrict__ parameters, const Entry* __restrict__ tables,
    const T* __restrict__ positions, T* __restrict__ energies, T* __restrict__ gradients, int n,
    int64_t batch) {
  extern __shared__ double block[];
  const int lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
  const int64_t column = int64_t(blockIdx.x) * 32 + lane;
  const int64_t source = column < batch ? column : batch - 1;  // lanes that are left over do the last again
  double* partial = block + lane;
  int* finite = reinterpret_cast<int*>(block + 32 * warps) + lane;
  T* x = reinterpret_cast<T*>(block + 48 * warps) + lane;
  T* values = x + 3 * n * 32;
  T* gradient = values + N_VALUES * n * 32;
  const int apart = (3 + N_VALUES) * n * 32;
  T* own = gradient + warp * apart;
  for (int i = warp; i < n; i += warps)
    for (int axis = 0; axis < 3; ++axis) x[(3 * i + axis) * 32] = positions[(axis * n + i) * batch + source];
  for (int r = 0; r < (3 + N_VALUES) * n; ++r) own[r * 32] = T(0);
  __syncthreads();
  const Tile w = {x, own, own + 3 * n * 32, values, gradient + 3 * n * 32, n, warp, warps, apart};
  const Data d = {integers, parameters, tables};
  partial[warp * 32] = energy_of(w, d);
  __syncthreads();
  // comparisons with NaN are false: what is not finite gets +inf and no gradient
  int sound = 1;
  for (int r = warp; r < 3 * n; r += warps) {
    T total = gradient[r * 32];
    for (int other = 1; other < warps; ++other) total += gradient[other * apart + r * 32];
    sound &= fabs_(total) <= LARGEST && fabs_(x[r * 32]) <= LARGEST;
    gradient[r * 32] = total;
  }
  finite[warp * 32] = sound;
  __syncthreads();
  double energy = 0;
  for (int other = 0; other < warps; ++other) {
    energy += partial[other * 32];
    sound &= finite[other * 32];
  }
  sound &= fabs_(T(energy)) <= LARGEST;
  if (column >= batch) return;
  if (warp == 0) energies[column] = sound ? T(energy) : LARGEST + LARGEST;
  for (int i = warp; i < n; i += warps)
    for (int axis = 0; axis < 3; ++axis)
      gradients[(axis * n + i) * batch + column] = sound ? gradient[(3 * i + axis) * 32] : T(0);
}

// `scratch` has 2 N_VALUES n rows of zeros.
extern "C" __global__ void columns(
    const int* __restrict__ integers, const T* __restrict__ parameters, const Entry* __restrict__ tables,
    const T* __restrict__ positions, T* __restrict__ energies, T* __restrict__ gradients, int n,
    int64_t batch, T* __restrict__ scratch) {
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= batch) return;
  const T* x = positions + column;
  T* f = gradients + column;
  T* s = scratch + column;
  for (int r = 0; r < 3 * n; ++r) f[r * batch] = T(0);
  const Column w = {batch, n * batch, batch, x, f, s, s + N_VALUES * n * batch, n};
  const Data d = {integers, parameters, tables};
  const double energy = energy_of(w, d);
  bool sound = fabs_(T(energy)) <= LARGEST;
  for (int r = 0; r < 3 * n; ++r)
    sound = sound && fabs_(f[r * batch]) <= LARGEST && fabs_(x[r * batch]) <= LARGEST;
  energies[column] = sound ? T(energy) : LARGEST + LARGEST;
  if (!sound)
    for (int r = 0; r < 3 * n; ++r) f[r * batch] = T(0);
}
"""


def values_of_atoms(terms: Sequence[GraphTerm]) -> int:
    """Number of values a kernel keeps for each atom: the most that any implicit-solvent term has.

    Parameters
    ----------
    terms
        Terms of an energy.

    Returns
    -------
    int
        Zero without implicit solvent.
    """
    return max((n_values(term) for term in terms if isinstance(term, BornTerm)), default=0)


def tile_bytes(n_atoms: int, n_values: int, warps: int, dtype: torch.dtype) -> int:
    """Shared memory of a block of ``tiles``.

    Parameters
    ----------
    n_atoms
        Number of atoms.
    n_values
        Values that the kernel keeps for each atom.
    warps
        Number of warps of the block.
    dtype
        Precision of the positions.

    Returns
    -------
    int
        Bytes.
    """
    rows = (3 + n_values) * n_atoms * (1 + warps)
    return TILE * (12 * warps + dtype.itemsize * rows)  # energies and flags of the warps, then rows


def energy_source(terms: Sequence[GraphTerm], dtype: torch.dtype) -> str:
    """Print the two kernels of the sum of the terms.

    Parameters
    ----------
    terms
        Terms of an energy.
    dtype
        Precision of the positions.

    Returns
    -------
    str
        CUDA C++ source.
    """
    functions = []
    for number, term in enumerate(terms):
        tables = TableFunctions(term.tables, "tables")
        body = _cluster_body(term, tables) if isinstance(term, ClusterTerm) else born_body(term, tables)  # type: ignore[arg-type]
        functions += [
            f"namespace term{number} {{",
            *tables.sources.values(),
            "template <class Where> INLINE T energy(const Where& w, const Data& d) {",
            f"  const int* part = d.integers + {4 * number};",
            "  const int count = part[0];",
            "  const int* atoms = d.integers + part[1];",
            "  const T* parameters = d.parameters + part[2];",
            "  const Entry* tables = d.tables + part[3];",
            "  T e = T(0);",
            *indented(1, body),
            "  return e;",
            "}",
            "}",
        ]
    calls = [f"total += term{number}::energy(w, d);" for number in range(len(terms))]
    entries = _ENTRIES.replace("@CALLS@", "\n".join(indented(1, calls)))
    entries = entries.replace("@MOST_THREADS@", str(TILE * MOST_WARPS[dtype]))
    constants = f"static constexpr int N_VALUES = {values_of_atoms(terms)};"
    return "\n".join([prelude(dtype), constants, _DECLARATIONS, *functions, entries])


def _cluster_body(term: ClusterTerm, tables: TableFunctions) -> list[str]:
    """The loop over clusters."""
    graphs, particles, n_parameters = term.graphs, term.particles, len(term.parameter_names)
    names = {f"{axis}{p + 1}": f"{axis}{p + 1}" for p in range(particles) for axis in "xyz"}
    names |= {f"parameter{i}": f"q{i}" for i in range(n_parameters)}
    code = statements(graphs, names, tables)
    energy, *slopes = code.outputs
    inside = [f"const int* a = atoms + c * {particles};", f"const T* p = parameters + c * {n_parameters};"]
    inside += [f"const T q{i} = p[{i}];" for i in range(n_parameters)]
    for p in range(particles):
        inside += [f"const T* X{p + 1} = w.x + a[{p}] * w.atom;", f"T* F{p + 1} = w.f + a[{p}] * w.atom;"]
        inside += [f"const T {axis}{p + 1} = X{p + 1}[{row} * w.axis];" for row, axis in enumerate("xyz")]
    inside += [*code.uniform, *code.lanes, f"e += {energy};"]
    for column, (slope, graph) in enumerate(zip(slopes, graphs[1:], strict=True)):
        if graph is not ZERO:
            particle, axis_index = divmod(column, 3)
            inside.append(f"F{particle + 1}[{axis_index} * w.axis] += {slope};")
    return [NOT_UNROLLED, "for (int c = w.warp; c < count; c += w.warps) {", *indented(1, inside), "}"]
