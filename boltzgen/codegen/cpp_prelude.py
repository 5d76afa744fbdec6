"""The C++ that generated kernels have in common: types, and mathematics on sixteen lanes in registers."""

import torch

SCALARS = {torch.float32: "float", torch.float64: "double"}
LANES = 16  # a power of two; 64-byte registers hold sixteen floats

MATHEMATICS = [  # of one argument, under the names of C
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
]


def prelude(dtype: torch.dtype) -> str:
    """Types and functions that every kernel of this precision uses.

    Parameters
    ----------
    dtype
        float32 or float64.

    Returns
    -------
    str
        C++ source.
    """
    scalar = SCALARS[dtype]
    largest = "__FLT_MAX__" if dtype == torch.float32 else "__DBL_MAX__"
    suffix = "f" if dtype == torch.float32 else ""
    one = "".join(f"SIMD {scalar} {name}{suffix}({scalar}) noexcept;\n" for name in MATHEMATICS)
    two = "".join(
        f"SIMD {scalar} {name}{suffix}({scalar}, {scalar}) noexcept;\n" for name in ("pow", "atan2")
    )
    renamed = "".join(f"INLINE T {name}_(T a) {{ return {name}{suffix}(a); }}\n" for name in MATHEMATICS)
    renamed += "".join(
        f"INLINE T {name}_(T a) {{ return __builtin_{name}{suffix}(a); }}\n"
        for name in ("sqrt", "floor", "ceil", "fabs")
    )
    renamed += "".join(
        f"INLINE T {name}_(T a, T b) {{ return {name}{suffix}(a, b); }}\n" for name in ("pow", "atan2")
    )
    return f"""#include <stdlib.h>
#include <stdint.h>
// glibc ≥ 2.35 has vector variants of all of these; elsewhere the scalar functions serve
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 35)
#define SIMD __attribute__((__simd__("notinbranch"), const))
#endif
#endif
#ifndef SIMD
#define SIMD __attribute__((const))
#endif
#define INLINE static inline __attribute__((always_inline))
extern "C" {{
{one}{two}}}
typedef {scalar} T;
typedef double Entry;  // of tabulated functions
enum {{ LANES = {LANES} }};
static const T LARGEST = {largest};
{renamed}INLINE T min_(T a, T b) {{ return a < b ? a : b; }}
INLINE T max_(T a, T b) {{ return a > b ? a : b; }}
"""
