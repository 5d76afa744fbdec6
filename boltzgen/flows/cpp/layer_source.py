"""C++ of what surrounds the matrix products of a coupling: features, activations and affine maps.

Rows are coordinates or network units, the batch is contiguous.
"""

import math

import torch

from boltzgen.codegen.cpp_prelude import prelude
from boltzgen.flows.transforms import MAX_LOG_SCALE

_BODY = r"""
// Rows: cosines of kept torsions, their sines, sin(τ/n)/sin(π/n) of those folded; kept stiff coordinates.
extern "C" void features(int64_t n_kept, int64_t n_folded, int64_t n_stiff, int64_t batch,
                         const int64_t* kept, const int64_t* folded, const T* fold, const int64_t* kept_stiff,
                         const T* torsions, const T* stiff, T* result) {
  for (int64_t k = 0; k < n_kept; ++k) {
    const T* x = torsions + kept[k] * batch;
    T *cosine = result + k * batch, *sine = result + (n_kept + k) * batch;
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) { cosine[b] = cos_(x[b]); sine[b] = sin_(x[b]); }
  }
  result += 2 * n_kept * batch;
  for (int64_t k = 0; k < n_folded; ++k, result += batch) {
    const T* x = torsions + kept[folded[k]] * batch;
    const T turn = T(1) / fold[k], scale = T(1) / sin_(PI / fold[k]);
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) result[b] = scale * sin_(x[b] * turn);
  }
  for (int64_t k = 0; k < n_stiff; ++k, result += batch)
    __builtin_memcpy(result, stiff + kept_stiff[k] * batch, sizeof(T) * batch);
}

// Adds to the gradients by torsions and stiff rows those that come through the features.
extern "C" void features_gradient(int64_t n_kept, int64_t n_folded, int64_t n_stiff, int64_t batch,
                                  const int64_t* kept, const int64_t* folded, const T* fold,
                                  const int64_t* kept_stiff, const T* torsions, const T* made,
                                  const T* by_features, T* by_torsions, T* by_stiff) {
  for (int64_t k = 0; k < n_kept; ++k) {
    const T *cosine = made + k * batch, *sine = made + (n_kept + k) * batch;
    const T *by_cosine = by_features + k * batch, *by_sine = by_features + (n_kept + k) * batch;
    T* target = by_torsions + kept[k] * batch;
    for (int64_t b = 0; b < batch; ++b) target[b] += by_sine[b] * cosine[b] - by_cosine[b] * sine[b];
  }
  by_features += 2 * n_kept * batch;
  for (int64_t k = 0; k < n_folded; ++k, by_features += batch) {
    const T* x = torsions + kept[folded[k]] * batch;
    T* target = by_torsions + kept[folded[k]] * batch;
    const T turn = T(1) / fold[k], scale = turn / sin_(PI / fold[k]);
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) target[b] += by_features[b] * scale * cos_(x[b] * turn);
  }
  for (int64_t k = 0; k < n_stiff; ++k, by_features += batch) {
    T* target = by_stiff + kept_stiff[k] * batch;
    for (int64_t b = 0; b < batch; ++b) target[b] += by_features[b];
  }
}

// result = skipped + silu(z + bias); `skipped` may be null. z becomes z + bias.
extern "C" void activate(int64_t units, int64_t batch, const T* bias, const T* skipped, T* z, T* result) {
  for (int64_t u = 0; u < units; ++u, z += batch, result += batch) {
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) {
      z[b] += bias[u];
      result[b] = z[b] / (T(1) + exp_(-z[b]));
    }
    if (skipped) {
      const T* before = skipped + u * batch;
      for (int64_t b = 0; b < batch; ++b) result[b] += before[b];
    }
  }
}

// by_z = by_result silu'(z), and its sums over the batch.
extern "C" void activate_gradient(int64_t units, int64_t batch, const T* z, const T* by_result, T* by_z,
                                  T* by_bias) {
  for (int64_t u = 0; u < units; ++u, z += batch, by_result += batch, by_z += batch) {
    T sum = T(0);
    #pragma omp simd reduction(+ : sum)
    for (int64_t b = 0; b < batch; ++b) {
      const T gate = T(1) / (T(1) + exp_(-z[b]));
      by_z[b] = by_result[b] * gate * (T(1) + z[b] * (T(1) - gate));
      sum += by_z[b];
    }
    by_bias[u] = sum;
  }
}

// Rows `moved` of `state` become x e^g + shift, or (x − shift) e^−g: g = L tanh(raw / L) is bounded by L.
// `raw` [2 rows, raw_batch] holds shifts, then scales. ±g is added to log_det [batch].
extern "C" void affine(int64_t rows, int64_t batch, int64_t raw_batch, int inverse, const int64_t* moved,
                       const T* state, const T* raw, T* result, T* log_det) {
  const bool shared = raw_batch != batch;
  for (int64_t row = 0; row < rows; ++row) {
    const T *x = state + moved[row] * batch, *shift = raw + row * raw_batch;
    const T* scale = raw + (rows + row) * raw_batch;
    T* target = result + moved[row] * batch;
    const T common = shared ? MOST * tanh_(scale[0] / MOST) : T(0), common_shift = shift[0];
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) {
      const T g = shared ? common : MOST * tanh_(scale[b] / MOST), o = shared ? common_shift : shift[b];
      target[b] = inverse ? (x[b] - o) * exp_(-g) : x[b] * exp_(g) + o;
      log_det[b] += inverse ? -g : g;
    }
  }
}

// Of one row: target goes from the result's to the state's gradient; by_shift and by_scale may be null.
// Numbers that the whole batch shares get the sums of their gradients.
template <bool SHARED, bool INVERSE>
static void affine_row_gradient(int64_t batch, const T* __restrict x, const T* __restrict shift,
                                const T* __restrict scale, const T* __restrict by_log_det,
                                T* __restrict target, T* __restrict by_shift, T* __restrict by_scale) {
  const T sign = INVERSE ? T(-1) : T(1);
  if (SHARED) {
    const T bounded = tanh_(scale[0] / MOST), factor = exp_(sign * MOST * bounded);
    T shifts = T(0), scales = T(0);
    #pragma omp simd reduction(+ : shifts, scales)
    for (int64_t b = 0; b < batch; ++b) {
      const T by_x = target[b] * factor;
      shifts += INVERSE ? -by_x : target[b];
      scales += by_x * (INVERSE ? x[b] - shift[0] : x[b]) + by_log_det[b];
      target[b] = by_x;
    }
    if (by_shift) {
      *by_shift = shifts;
      *by_scale = sign * scales * (T(1) - bounded * bounded);
    }
  } else if (by_shift) {
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) {
      const T bounded = tanh_(scale[b] / MOST), by_x = target[b] * exp_(sign * MOST * bounded);
      const T by_log_scale = sign * (by_x * (INVERSE ? x[b] - shift[b] : x[b]) + by_log_det[b]);
      by_shift[b] = INVERSE ? -by_x : target[b];
      by_scale[b] = by_log_scale * (T(1) - bounded * bounded);
      target[b] = by_x;
    }
  } else {
    #pragma omp simd
    for (int64_t b = 0; b < batch; ++b) target[b] *= exp_(sign * MOST * tanh_(scale[b] / MOST));
  }
}

// As `spline_gradient`: by_state goes from the result's to the state's gradient; by_raw may be null.
extern "C" void affine_gradient(int64_t rows, int64_t batch, int64_t raw_batch, int inverse,
                                const int64_t* moved, const T* state, const T* raw, const T* by_log_det,
                                T* by_state, T* by_raw) {
  const bool shared = raw_batch != batch;
  const auto gradient =
      shared ? (inverse ? affine_row_gradient<true, true> : affine_row_gradient<true, false>)
             : (inverse ? affine_row_gradient<false, true> : affine_row_gradient<false, false>);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t shift = row * raw_batch, scale = (rows + row) * raw_batch;
    gradient(batch, state + moved[row] * batch, raw + shift, raw + scale, by_log_det,
             by_state + moved[row] * batch, by_raw ? by_raw + shift : nullptr,
             by_raw ? by_raw + scale : nullptr);
  }
}
"""


def layer_source(dtype: torch.dtype) -> str:
    """The functions above for this precision."""
    constants = f"static const T PI = T({math.pi!r}), MOST = T({MAX_LOG_SCALE!r});"
    return "\n".join([prelude(dtype), constants, _BODY])
