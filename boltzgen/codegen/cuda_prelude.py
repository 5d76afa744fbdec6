"""The CUDA C++ that generated kernels have in common.

NVRTC compiles it without any header of the system. The names are those of ``cpp_prelude``, so that the
operators and tables are printed for both by the same code.
"""

import torch

from boltzgen.codegen.cpp_prelude import MATHEMATICS, SCALARS

_LARGEST = {torch.float32: "3.4028234663852886e+38f", torch.float64: "1.7976931348623157e+308"}


def prelude(dtype: torch.dtype) -> str:
    """Types and functions that every kernel of this precision uses.

    Parameters
    ----------
    dtype
        float32 or float64.

    Returns
    -------
    str
        CUDA C++ source.
    """
    suffix = "f" if dtype == torch.float32 else ""
    one = "".join(
        f"INLINE T {name}_(T a) {{ return {name}{suffix}(a); }}\n"
        for name in (*MATHEMATICS, "sqrt", "floor", "ceil", "fabs")
    )
    two = "".join(
        f"INLINE T {name}_(T a, T b) {{ return {name}{suffix}(a, b); }}\n" for name in ("pow", "atan2")
    )
    return f"""#ifdef __CUDACC_RTC__
typedef int int32_t;
typedef long long int64_t;
#endif
#define INLINE static __device__ __forceinline__
typedef {SCALARS[dtype]} T;
typedef T Entry;  // of tabulated functions
#define LARGEST {_LARGEST[dtype]}
{one}{two}INLINE T min_(T a, T b) {{ return a < b ? a : b; }}
INLINE T max_(T a, T b) {{ return a > b ? a : b; }}
"""
