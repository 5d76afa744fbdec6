"""C++ of the small matrix products of a perceptron over a batch that is contiguous.

Tiles of the result stay in the 32 registers of AVX-512; the library that torch calls leaves half of what they
can do unused for such sizes on some processors. Other processors are left to that library.
"""

import torch

from boltzgen.codegen.cpp_prelude import prelude

_BODY = r"""
#ifdef __AVX512F__
extern "C" int has_products() { return 1; }
#else
extern "C" int has_products() { return 0; }
#endif

enum { WIDTH = 64 / sizeof(T), ROWS = 6, VECTORS = 4, COLUMNS = VECTORS * WIDTH };
typedef T V __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));

template <int N>
static void tile(int64_t inner, int64_t batch, int64_t row_step, int64_t step, const T* w, const T* x,
                 const T* bias, const T* added, T* result) {
  V sum[N][VECTORS];
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < VECTORS; ++j) {
      sum[i][j] = V{} + (bias ? bias[i] : T(0));
      if (added) sum[i][j] += reinterpret_cast<const V*>(added + i * batch)[j];
    }
  for (int64_t k = 0; k < inner; ++k) {
    const V* row = reinterpret_cast<const V*>(x + k * batch);
    const V x0 = row[0], x1 = row[1], x2 = row[2], x3 = row[3];
    for (int i = 0; i < N; ++i) {
      const T factor = w[i * row_step + k * step];
      sum[i][0] += factor * x0;
      sum[i][1] += factor * x1;
      sum[i][2] += factor * x2;
      sum[i][3] += factor * x3;
    }
  }
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < VECTORS; ++j) reinterpret_cast<V*>(result + i * batch)[j] = sum[i][j];
}

// result [rows, batch] = w x + bias + added, for x [inner, batch] with batch ≥ COLUMNS. Element (i, k) of w
// lies at i row_step + k step; bias and added may be null. The last tile of columns overlaps the one before.
extern "C" void product(int64_t rows, int64_t inner, int64_t batch, int64_t row_step, int64_t step,
                        const T* w, const T* x, const T* bias, const T* added, T* result) {
  for (int64_t from = 0; from < batch; from += COLUMNS) {
    const int64_t column = from + COLUMNS <= batch ? from : batch - COLUMNS;
    for (int64_t row = 0; row < rows; row += ROWS) {
      const int64_t at = row * batch + column, left = rows - row;
      const auto compute = left >= 6 ? tile<6> : left == 5 ? tile<5> : left == 4 ? tile<4>
                         : left == 3 ? tile<3> : left == 2 ? tile<2> : tile<1>;
      compute(inner, batch, row_step, step, w + row * row_step, x + column, bias ? bias + row : nullptr,
              added ? added + at : nullptr, result + at);
    }
  }
}
"""


def product_source(dtype: torch.dtype) -> str:
    """Functions ``has_products`` and ``product`` for this precision."""
    return "\n".join([prelude(dtype), _BODY])
