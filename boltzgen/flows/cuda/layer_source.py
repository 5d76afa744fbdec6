"""CUDA of what surrounds the matrix products of a coupling: features, activations and affine maps.

A thread is one number of the result. Rows are coordinates or network units; the batch is contiguous.
"""

import math

import torch

from boltzgen.codegen.cuda_prelude import prelude
from boltzgen.flows.transforms import MAX_LOG_SCALE

_KERNELS = r"""
// Rows: cosines of kept torsions, their sines, sin(τ/n)/sin(π/n) of those folded; kept stiff coordinates.
extern "C" __global__ void features(int64_t n_kept, int64_t n_folded, int64_t n_stiff, int64_t batch,
                                    const int64_t* kept, const int64_t* folded, const T* fold,
                                    const int64_t* kept_stiff, const T* torsions, const T* stiff, T* result) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= (2 * n_kept + n_folded + n_stiff) * batch) return;
  int64_t row = index / batch;
  const int64_t sample = index % batch;
  if (row < n_kept) {
    result[index] = cos_(torsions[kept[row] * batch + sample]);
    return;
  }
  if ((row -= n_kept) < n_kept) {
    result[index] = sin_(torsions[kept[row] * batch + sample]);
    return;
  }
  if ((row -= n_kept) < n_folded) {
    const T x = torsions[kept[folded[row]] * batch + sample];
    result[index] = sin_(x * (T(1) / fold[row])) / sin_(PI / fold[row]);
    return;
  }
  row -= n_folded;
  result[index] = stiff[kept_stiff[row] * batch + sample];
}

// Adds to the gradients by torsions and stiff rows those that come through the features: a thread gathers all
// that comes to its coordinate.
extern "C" __global__ void features_gradient(int64_t n_kept, int64_t n_folded, int64_t n_stiff, int64_t batch,
                                             const int64_t* kept, const int64_t* folded, const T* fold,
                                             const int64_t* kept_stiff, const T* torsions, const T* made,
                                             const T* by_features, T* by_torsions, T* by_stiff) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= (n_kept + n_stiff) * batch) return;
  const int64_t row = index / batch, sample = index % batch, sines = n_kept * batch;
  if (row >= n_kept) {
    const int64_t k = row - n_kept;
    by_stiff[kept_stiff[k] * batch + sample] += by_features[(2 * n_kept + n_folded + k) * batch + sample];
    return;
  }
  T by = by_features[sines + index] * made[index] - by_features[index] * made[sines + index];
  const int64_t at = kept[row] * batch + sample;
  for (int64_t k = 0; k < n_folded; ++k)
    if (folded[k] == row) {
      const T turn = T(1) / fold[k], scale = turn / sin_(PI * turn);
      by += by_features[(2 * n_kept + k) * batch + sample] * scale * cos_(torsions[at] * turn);
    }
  by_torsions[at] += by;
}

// result = skipped + silu(z + bias); `skipped` may be null. z becomes z + bias.
extern "C" __global__ void activate(int64_t units, int64_t batch, const T* bias, const T* skipped, T* z,
                                    T* result) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= units * batch) return;
  const T x = z[index] + bias[index / batch], activated = x / (T(1) + exp_(-x));
  z[index] = x;
  result[index] = skipped ? skipped[index] + activated : activated;
}

// by_z = by_result silu'(z).
extern "C" __global__ void activate_gradient(int64_t units, int64_t batch, const T* z, const T* by_result,
                                             T* by_z) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= units * batch) return;
  const T gate = T(1) / (T(1) + exp_(-z[index]));
  by_z[index] = by_result[index] * gate * (T(1) + z[index] * (T(1) - gate));
}

// Rows `moved` of `state` become x e^g + shift, or (x − shift) e^−g: g = L tanh(raw / L) is bounded by L.
// `raw` [2 rows, raw_batch] holds shifts, then scales. log_slopes [rows, batch] are ±g.
extern "C" __global__ void affine(int64_t rows, int64_t batch, int64_t raw_batch, int inverse,
                                  const int64_t* moved, const T* state, const T* raw, T* result,
                                  T* log_slopes) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= rows * batch) return;
  const int64_t row = index / batch, sample = index % batch, at = moved[row] * batch + sample;
  const int64_t of_raw = raw_batch == batch ? sample : 0;
  const T shift = raw[row * raw_batch + of_raw];
  const T g = MOST * tanh_(raw[(rows + row) * raw_batch + of_raw] / MOST);
  result[at] = inverse ? (state[at] - shift) * exp_(-g) : state[at] * exp_(g) + shift;
  log_slopes[index] = inverse ? -g : g;
}

// As `spline_gradient`: by_state goes from the result's to the state's gradient; by_raw [2 rows, batch], a
// gradient for every sample, may be null.
extern "C" __global__ void affine_gradient(int64_t rows, int64_t batch, int64_t raw_batch, int inverse,
                                           const int64_t* moved, const T* state, const T* raw,
                                           const T* by_log_det, T* by_state, T* by_raw) {
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= rows * batch) return;
  const int64_t row = index / batch, sample = index % batch, at = moved[row] * batch + sample;
  const int64_t of_raw = raw_batch == batch ? sample : 0;
  const T sign = inverse ? T(-1) : T(1), shift = raw[row * raw_batch + of_raw];
  const T bounded = tanh_(raw[(rows + row) * raw_batch + of_raw] / MOST);
  const T by_value = by_state[at], by_x = by_value * exp_(sign * MOST * bounded);
  by_state[at] = by_x;
  if (!by_raw) return;
  const T by_log_scale = sign * (by_x * (inverse ? state[at] - shift : state[at]) + by_log_det[sample]);
  by_raw[index] = inverse ? -by_x : by_value;
  by_raw[rows * batch + index] = by_log_scale * (T(1) - bounded * bounded);
}
"""


def layer_source(dtype: torch.dtype) -> str:
    """The kernels above for this precision."""
    constants = f"static constexpr T PI = T({math.pi!r}), MOST = T({MAX_LOG_SCALE!r});"
    return "\n".join([prelude(dtype), constants, _KERNELS])
