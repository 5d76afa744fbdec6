"""CUDA of the rational-quadratic splines: a thread a coordinate of a sample.

The functions are those of the C++ kernels, on one lane. Parameters that the whole batch shares are read again
by every thread; gradients by them come for each sample, and torch sums them.
"""

import torch

from boltzgen.codegen.cuda_prelude import prelude
from boltzgen.flows.cpp.spline_source import SPLINE_FUNCTIONS, spline_constants

_MACROS = """enum { LANES = 1 };
#define FUNCTION INLINE
#define UNROLL _Pragma("unroll")
#define FLATTEN UNROLL
#define EACH_LANE for (int l = 0; l < LANES; ++l)
"""

_ENTRIES = r"""
// Moves rows `moved` of `state` [.., batch] into `result`; their log slopes are [rows, batch].
extern "C" __global__ void spline(int64_t rows, int64_t batch, int64_t raw_batch, double bound_, int inverse,
                                  const int64_t* moved, const T* state, const T* raw, T* result,
                                  T* log_slopes) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= rows * batch) return;
  const int64_t row = index / batch, sample = index % batch, at = moved[row] * batch + sample;
  const int64_t of_raw = row * raw_batch + (raw_batch == batch ? sample : 0);
  const T bound = T(bound_);
  Knots knots;
  prepare(raw + of_raw, rows * raw_batch, 1, false, bound, knots);
  move(knots, bound, false, inverse, state + at, result + at, log_slopes + index);
}

// `by_state` holds the gradient by the result and gets that by the state in the moved rows.
// `by_raw` [parameters, rows, batch] has a gradient for every sample; it may be null.
extern "C" __global__ void spline_gradient(int64_t rows, int64_t batch, int64_t raw_batch, double bound_,
                                           int inverse, const int64_t* moved, const T* state, const T* raw,
                                           const T* by_log_det, T* by_state, T* by_raw) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= rows * batch) return;
  const int64_t row = index / batch, sample = index % batch, at = moved[row] * batch + sample;
  const int64_t step = rows * batch;
  const int64_t of_raw = row * raw_batch + (raw_batch == batch ? sample : 0);
  const T bound = T(bound_);
  Knots knots;
  prepare(raw + of_raw, rows * raw_batch, 1, false, bound, knots);
  Gathered sums = {};
  T by_x[1];
  move_gradient(knots, bound, false, inverse, by_raw != nullptr, state + at, by_state + at,
                by_log_det + sample, by_x, sums);
  by_state[at] = by_x[0];
  if (!by_raw) return;
  T* out = by_raw + index;
  T by_lengths[BINS][1];
  through_softmax(knots.x, sums.x, bound, by_lengths);
  FLATTEN for (int k = 0; k < BINS; ++k) out[k * step] = by_lengths[k][0];
  through_softmax(knots.y, sums.y, bound, by_lengths);
  FLATTEN for (int k = 0; k < BINS; ++k) out[(BINS + k) * step] = by_lengths[k][0];
  FLATTEN for (int k = 0; k < SLOPES; ++k) out[(2 * BINS + k) * step] = sums.slope[k][0];
  if (PERIODIC) out[(PARAMETERS - 1) * step] = sums.turn[0];
}
"""


def spline_source(dtype: torch.dtype, bins: int, periodic: bool) -> str:
    """Kernels ``spline`` and ``spline_gradient`` for this precision, number of bins and kind of ends."""
    parts = [prelude(dtype), _MACROS, spline_constants(dtype, bins, periodic), SPLINE_FUNCTIONS, _ENTRIES]
    return "\n".join(parts)
