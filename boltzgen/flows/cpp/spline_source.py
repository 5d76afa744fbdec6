"""C++ of the rational-quadratic splines: value, log slope and all gradients in one pass over the batch.

It computes what ``splines.py`` defines. Sixteen samples stand side by side in registers; a sample's knots are
never stored. Parameters that the whole batch shares have their knots worked out once a row.
"""

import math

import torch

from boltzgen.codegen.cpp_prelude import prelude
from boltzgen.flows.splines import MIN_BIN, MIN_SLOPE, SLOPE_OFFSET

# FLATTEN is for loops that are unrolled where a thread has one lane, so that its arrays are registers.
_MACROS = """#define FUNCTION static
#define FLATTEN
#define UNROLL _Pragma("GCC unroll 64")
#define EACH_LANE _Pragma("omp simd") for (int l = 0; l < LANES; ++l)
"""

SPLINE_FUNCTIONS = r"""
enum {
  SLOPES = PERIODIC ? BINS : BINS - 1,
  PARAMETERS = 2 * BINS + SLOPES + PERIODIC  // widths, heights, slopes, turn
};
static constexpr T SPREAD = T(1) - T(MIN_BIN) * BINS;

// One direction's knots: where bins begin, how long they are, and the softmax this comes from.
struct Side { T left[BINS][LANES], length[BINS][LANES], share[BINS][LANES]; };
struct Knots { T raw[PARAMETERS][LANES], d[BINS + 1][LANES], e[BINS + 1][LANES]; Side x, y; };
// Gradients by bin lengths and raw slopes, gathered over the samples that share parameters.
struct Gathered { T x[BINS][LANES], y[BINS][LANES], slope[BINS][LANES], turn[LANES]; };
// The bin each sample lies in; d0 and d1 are the slopes at its ends, e0 and e1 the derivatives of these by
// the raw slopes, t is the place within it.
struct Piece { I bin[LANES]; T x0[LANES], w[LANES], y0[LANES], h[LANES], d0[LANES], d1[LANES],
               e0[LANES], e1[LANES], t[LANES]; };

INLINE void load(const T* source, int64_t width, T* row) {
  if (width == LANES) { EACH_LANE row[l] = source[l]; }
  else for (int64_t l = 0; l < LANES; ++l) row[l] = source[l < width ? l : width - 1];
}

INLINE T wrap(T angle) { return angle - T(2) * PI * floor_(angle / (T(2) * PI) + T(0.5)); }

INLINE T slope(T raw) {
  const T z = raw + T(SLOPE_OFFSET);
  const T small = exp_(-fabs_(z)), one = T(1) + small;
  const T log1p = one == T(1) ? small : log_(one) * (small / (one - T(1)));
  return T(MIN_SLOPE) + (z > T(20) ? z : max_(z, T(0)) + log1p);
}

INLINE T slope_change(T raw) {
  const T z = raw + T(SLOPE_OFFSET);
  const T small = exp_(-fabs_(z));
  return z > T(20) ? T(1) : (z >= T(0) ? T(1) : small) / (T(1) + small);
}

INLINE void divide(const T (*raw)[LANES], T bound, Side& side) {
  T top[LANES], sum[LANES], end[LANES];
  EACH_LANE { top[l] = raw[0][l]; sum[l] = T(0); end[l] = T(0); }
  FLATTEN for (int k = 1; k < BINS; ++k) EACH_LANE top[l] = max_(top[l], raw[k][l]);
  FLATTEN for (int k = 0; k < BINS; ++k)
    EACH_LANE { side.share[k][l] = exp_(raw[k][l] - top[l]); sum[l] += side.share[k][l]; }
  FLATTEN for (int k = 0; k < BINS; ++k)
    EACH_LANE {
      side.share[k][l] /= sum[l];
      side.length[k][l] = T(2) * bound * (T(MIN_BIN) + SPREAD * side.share[k][l]);
      end[l] += side.length[k][l];
      side.left[k][l] = end[l] - side.length[k][l] - bound;
    }
}

// Row of the raw slope at a knot; the outermost knots of a line have none: their slope is one.
INLINE int slope_row(int knot) {
  if (PERIODIC) return 2 * BINS + knot % BINS;
  return knot == 0 || knot == BINS ? -1 : 2 * BINS + knot - 1;
}

// raw points at this row's first parameter; parameters lie `step` apart
FUNCTION void prepare(const T* raw, int64_t step, int64_t width, bool shared, T bound, Knots& knots) {
  FLATTEN for (int p = 0; p < PARAMETERS; ++p) load(raw + p * step, shared ? 1 : width, knots.raw[p]);
  divide(knots.raw, bound, knots.x);
  divide(knots.raw + BINS, bound, knots.y);
  FLATTEN for (int knot = 0; shared && knot <= BINS; ++knot) {
    const int row = slope_row(knot);
    EACH_LANE {
      knots.d[knot][l] = row < 0 ? T(1) : slope(knots.raw[row][l]);
      knots.e[knot][l] = row < 0 ? T(0) : slope_change(knots.raw[row][l]);
    }
  }
}

template <bool SHARED, bool INVERSE>
FUNCTION void locate_in(const Knots& knots, const T* x, Piece& p) {
  const Side& side = INVERSE ? knots.y : knots.x;
  // Slopes at knots that are shared are at hand; of others only those at a sample's bin are worked out.
  const auto at = [&](int knot, int l) __attribute__((always_inline)) {
    return SHARED ? knots.d[knot][l] : slope_row(knot) < 0 ? T(0) : knots.raw[slope_row(knot)][l];
  };
  EACH_LANE {
    I bin = 0;
    T x0 = knots.x.left[0][l], w = knots.x.length[0][l], y0 = knots.y.left[0][l], h = knots.y.length[0][l];
    T d0 = at(0, l), d1 = at(1, l);
    T e0 = SHARED ? knots.e[0][l] : T(0), e1 = SHARED ? knots.e[1][l] : T(0);
    UNROLL
    for (int k = 1; k < BINS; ++k) {
      const bool beyond = x[l] >= side.left[k][l];
      bin = beyond ? I(k) : bin;
      x0 = beyond ? knots.x.left[k][l] : x0;
      w = beyond ? knots.x.length[k][l] : w;
      y0 = beyond ? knots.y.left[k][l] : y0;
      h = beyond ? knots.y.length[k][l] : h;
      d0 = beyond ? at(k, l) : d0;
      d1 = beyond ? at(k + 1, l) : d1;
      if (SHARED) {
        e0 = beyond ? knots.e[k][l] : e0;
        e1 = beyond ? knots.e[k + 1][l] : e1;
      }
    }
    p.bin[l] = bin;
    p.x0[l] = x0; p.w[l] = w; p.y0[l] = y0; p.h[l] = h;
    p.d0[l] = d0; p.d1[l] = d1; p.e0[l] = e0; p.e1[l] = e1;
  }
  if (!SHARED)
    EACH_LANE {  // a line's outermost slopes come as raw zeros, which are one
      p.e0[l] = slope_change(p.d0[l]); p.e1[l] = slope_change(p.d1[l]);
      p.d0[l] = slope(p.d0[l]); p.d1[l] = slope(p.d1[l]);
    }
  if (INVERSE)
    EACH_LANE {
      const T s = p.h[l] / p.w[l], rise = x[l] - p.y0[l], bend = rise * (p.d0[l] + p.d1[l] - T(2) * s);
      const T a = p.h[l] * (s - p.d0[l]) + bend, b = p.h[l] * p.d0[l] - bend, c = -s * rise;
      const T square = b * b - T(4) * a * c;
      p.t[l] = T(2) * c / (-b - sqrt_(square < T(0) ? T(0) : square));
    }
  else
    EACH_LANE p.t[l] = (x[l] - p.x0[l]) / p.w[l];
  EACH_LANE p.t[l] = p.t[l] < T(0) ? T(0) : (p.t[l] > T(1) ? T(1) : p.t[l]);  // NaN stays NaN
}

INLINE void locate(const Knots& knots, const T* x, bool shared, bool inverse, Piece& p) {
  if (shared) inverse ? locate_in<true, true>(knots, x, p) : locate_in<true, false>(knots, x, p);
  else inverse ? locate_in<false, true>(knots, x, p) : locate_in<false, false>(knots, x, p);
}

// The sample as the spline takes it.
FUNCTION void enter(const Knots& knots, T bound, bool inverse, const T* given, T* x) {
  if (PERIODIC && inverse) EACH_LANE x[l] = wrap(given[l] - knots.raw[PARAMETERS - 1][l]);
  else if (PERIODIC) EACH_LANE x[l] = wrap(given[l]);
  else EACH_LANE x[l] = given[l] < -bound ? -bound : (given[l] > bound ? bound : given[l]);
}

// Values and log slopes of samples whose parameters are known.
INLINE void move(const Knots& knots, T bound, bool shared, bool inverse, const T* given, T* value,
                 T* log_slope) {
  T x[LANES];
  Piece p;
  enter(knots, bound, inverse, given, x);
  locate(knots, x, shared, inverse, p);
  EACH_LANE {
    const T t = p.t[l], u = T(1) - t, m = t * u, s = p.h[l] / p.w[l], d0 = p.d0[l], d1 = p.d1[l];
    const T D = s + (d0 + d1 - T(2) * s) * m, M = d1 * t * t + T(2) * s * m + d0 * u * u;
    const T up = log_(s * s * M) - T(2) * log_(D);
    log_slope[l] = inverse ? -up : up;
    value[l] = inverse ? p.x0[l] + t * p.w[l] : p.y0[l] + p.h[l] * (s * t * t + d0 * m) / D;
  }
  if (PERIODIC && !inverse) EACH_LANE value[l] = wrap(value[l] + knots.raw[PARAMETERS - 1][l]);
  if (!PERIODIC)
    EACH_LANE {
      const bool outside = fabs_(given[l]) >= bound;
      value[l] = outside ? given[l] : value[l];
      log_slope[l] = outside ? T(0) : log_slope[l];
    }
}

// Gradients by samples, from those by their values `gv` and log slopes `gl`; gradients by parameters are
// added to `sums` where these learn. With F(x; θ) the spline upwards, the inverse's gradients are those of F
// with −λ for its value's and −λ ∂F/∂θ by implicit differentiation of F(x; θ) = y.
INLINE void move_gradient(const Knots& knots, T bound, bool shared, bool inverse, bool learns, const T* given,
                          const T* gv, const T* gl, T* by_x, Gathered& sums) {
  T x[LANES];
  T x0[LANES], w[LANES], y0[LANES], h[LANES], z0[LANES], z1[LANES];  // gradients by these
  Piece p;
  enter(knots, bound, inverse, given, x);
  locate(knots, x, shared, inverse, p);
  EACH_LANE {
    const bool outside = !PERIODIC && fabs_(given[l]) >= bound;
    const T t = p.t[l], u = T(1) - t, m = t * u, r = T(1) - T(2) * t;
    const T s = p.h[l] / p.w[l], d0 = p.d0[l], d1 = p.d1[l], c = d0 + d1 - T(2) * s;
    const T D = s + c * m, M = d1 * t * t + T(2) * s * m + d0 * u * u;
    const T g = (s * t * t + d0 * m) / D, g_t = s * M / (D * D);
    const T l_t = T(2) * (d1 * t + s * r - d0 * u) / M - T(2) * c * r / D;
    const T l_s = T(2) / s + T(2) * m / M - T(2) * (T(1) - T(2) * m) / D;
    const T g_s = (t * t - g * (T(1) - T(2) * m)) / D;
    const T by_value = outside ? T(0) : gv[l], by_slope = outside ? T(0) : (inverse ? -gl[l] : gl[l]);
    const T lambda = (by_value * p.w[l] + by_slope * l_t) / (p.h[l] * g_t);
    const T a = inverse ? -lambda : by_value;  // the gradient by F
    const T by_t = a * p.h[l] * g_t + by_slope * l_t, by_s = a * p.h[l] * g_s + by_slope * l_s;
    x0[l] = -by_t / p.w[l];
    w[l] = -(by_t * t + by_s * s) / p.w[l];
    y0[l] = a;
    h[l] = a * g + by_s / p.w[l];
    const T d_0 = a * p.h[l] * (m - g * m) / D + by_slope * (u * u / M - T(2) * m / D);
    const T d_1 = -a * p.h[l] * g * m / D + by_slope * (t * t / M - T(2) * m / D);
    z0[l] = d_0 * p.e0[l];
    z1[l] = d_1 * p.e1[l];
    by_x[l] = inverse ? lambda : by_t / p.w[l];
    by_x[l] = outside ? gv[l] : by_x[l];
  }
  if (!learns) return;
  FLATTEN for (int k = 0; k < BINS; ++k)
    EACH_LANE {
      sums.x[k][l] += p.bin[l] > k ? x0[l] : (p.bin[l] == k ? w[l] : T(0));
      sums.y[k][l] += p.bin[l] > k ? y0[l] : (p.bin[l] == k ? h[l] : T(0));
    }
  FLATTEN for (int knot = 0; knot <= BINS; ++knot)
    if (slope_row(knot) >= 0) {
      T* sum = sums.slope[slope_row(knot) - 2 * BINS];
      EACH_LANE sum[l] += (p.bin[l] == knot ? z0[l] : T(0)) + (p.bin[l] + 1 == knot ? z1[l] : T(0));
    }
  if (PERIODIC) EACH_LANE sums.turn[l] += inverse ? -by_x[l] : gv[l];
}

// From gradients by the lengths of bins, which are a softmax, to those by its raw parameters.
INLINE void through_softmax(const Side& side, const T (*by_length)[LANES], T bound, T (*by_raw)[LANES]) {
  T mean[LANES];
  EACH_LANE mean[l] = T(0);
  FLATTEN for (int k = 0; k < BINS; ++k) EACH_LANE mean[l] += side.share[k][l] * by_length[k][l];
  FLATTEN for (int k = 0; k < BINS; ++k)
    EACH_LANE by_raw[k][l] = T(2) * bound * SPREAD * side.share[k][l] * (by_length[k][l] - mean[l]);
}
"""

_ENTRIES = r"""
// Moves rows `moved` of `state` [.., batch] into `result`, and adds their log slopes to `log_det` [batch].
extern "C" void spline(int64_t rows, int64_t batch, int64_t raw_batch, double bound_, int inverse,
                       const int64_t* moved, const T* state, const T* raw, T* result, T* log_det) {
  const T bound = T(bound_);
  const bool shared = raw_batch != batch;
  Knots knots;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t start = 0; start < batch; start += LANES) {
      const int64_t width = batch - start < LANES ? batch - start : LANES;
      if (!shared || !start)
        prepare(raw + row * raw_batch + (shared ? 0 : start), rows * raw_batch, width, shared, bound, knots);
      T given[LANES], value[LANES], log_slope[LANES];
      load(state + moved[row] * batch + start, width, given);
      move(knots, bound, shared, inverse, given, value, log_slope);
      T* target = result + moved[row] * batch + start;
      for (int64_t l = 0; l < width; ++l) target[l] = value[l];
      for (int64_t l = 0; l < width; ++l) log_det[start + l] += log_slope[l];
    }
}

// Gradient by a raw parameter: one number where the batch shares it.
static void store(const T* by_raw, int64_t width, bool shared, T* target) {
  if (shared) {
    double sum = 0;
    for (int l = 0; l < LANES; ++l) sum += by_raw[l];
    *target = T(sum);
  } else {
    for (int64_t l = 0; l < width; ++l) target[l] = by_raw[l];
  }
}

// The same for the lengths of bins, which are a softmax.
static void store(const Side& side, const T (*by_length)[LANES], T bound, int64_t width, bool shared,
                  T* target, int64_t step) {
  T by_raw[BINS][LANES];
  through_softmax(side, by_length, bound, by_raw);
  for (int k = 0; k < BINS; ++k) store(by_raw[k], width, shared, target + k * step);
}

// `by_state` holds the gradient by the result and gets that by the state in the moved rows.
// `by_raw` may be null.
extern "C" void spline_gradient(int64_t rows, int64_t batch, int64_t raw_batch, double bound_, int inverse,
                                const int64_t* moved, const T* state, const T* raw, const T* by_log_det,
                                T* by_state, T* by_raw) {
  const T bound = T(bound_);
  const bool shared = raw_batch != batch;
  Knots knots;
  Gathered sums;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t start = 0; start < batch; start += LANES) {
      const int64_t width = batch - start < LANES ? batch - start : LANES;
      const int64_t first = row * raw_batch + (shared ? 0 : start), step = rows * raw_batch;
      if (!shared || !start) {
        prepare(raw + first, step, width, shared, bound, knots);
        __builtin_memset(&sums, 0, sizeof(sums));
      }
      T given[LANES], gv[LANES] = {0}, gl[LANES] = {0}, by_x[LANES];
      load(state + moved[row] * batch + start, width, given);
      T* target = by_state + moved[row] * batch + start;
      for (int64_t l = 0; l < width; ++l) { gv[l] = target[l]; gl[l] = by_log_det[start + l]; }
      move_gradient(knots, bound, shared, inverse, by_raw != nullptr, given, gv, gl, by_x, sums);
      for (int64_t l = 0; l < width; ++l) target[l] = by_x[l];
      if (!by_raw) continue;
      if (shared && start + LANES < batch) continue;
      T* out = by_raw + first;
      store(knots.x, sums.x, bound, width, shared, out, step);
      store(knots.y, sums.y, bound, width, shared, out + BINS * step, step);
      for (int k = 0; k < SLOPES; ++k) store(sums.slope[k], width, shared, out + (2 * BINS + k) * step);
      if (PERIODIC) store(sums.turn, width, shared, out + (PARAMETERS - 1) * step);
    }
}
"""


def spline_constants(dtype: torch.dtype, bins: int, periodic: bool) -> str:
    """What the functions of splines are for."""
    constants = {"MIN_BIN": MIN_BIN, "MIN_SLOPE": MIN_SLOPE, "SLOPE_OFFSET": SLOPE_OFFSET}
    lines = [f"#define {name} {value!r}" for name, value in constants.items()]
    lines.append(f"enum {{ BINS = {bins}, PERIODIC = {int(periodic)} }};")
    lines.append(f"static constexpr T PI = T({math.pi!r});")
    lines.append(f"typedef int{32 if dtype == torch.float32 else 64}_t I;  // as wide as T")
    return "\n".join(lines)


def spline_source(dtype: torch.dtype, bins: int, periodic: bool) -> str:
    """Functions ``spline`` and ``spline_gradient`` for this precision, number of bins and kind of ends."""
    parts = [prelude(dtype), _MACROS, spline_constants(dtype, bins, periodic), SPLINE_FUNCTIONS, _ENTRIES]
    return "\n".join(parts)
