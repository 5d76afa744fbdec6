"""Tabulated functions printed as C++."""

from collections.abc import Sequence

from boltzgen.codegen.tables import Table


def table_source(table: Table, name: str, offset: int, orders: Sequence[int]) -> str:
    """Print a tabulated function, or its first derivative, as a C++ function.

    Parameters
    ----------
    table
        The tabulated function.
    name
        Name of the C++ function, whose arguments are the pointer ``tables`` and those of the table.
    offset
        Where the table starts in the packed tables.
    orders
        Order of the derivative by each argument, 0 or 1.

    Returns
    -------
    str
        C++ source.
    """
    d, size = table.dimension, table.degree + 1
    signature = ", ".join(f"T a{i}" for i in range(d))
    lines = [
        f"INLINE T {name}(const Entry* tables, {signature}) {{",
        f"  const Entry* h = tables + {offset};",
    ]
    lines += ["  int64_t cell = 0;", "  bool inside = true;"]
    for i in range(d):
        lines.append(f"  T u{i} = (a{i} - T(h[{3 * i}])) * T(h[{3 * i + 1}]);")
        lines.append(f"  const T n{i} = T(h[{3 * i + 2}]);")
        if table.periodic:
            lines.append(f"  u{i} = u{i} - n{i} * floor_(u{i} / n{i});")
        if table.degree == 0:
            lines.append(f"  u{i} = floor_(u{i} + T(0.5));")
        top = f"n{i} - T(1)" if table.degree == 0 else f"n{i}"
        lines.append(f"  inside = inside && u{i} >= T(0) && u{i} <= {top};")
        # comparisons with NaN are false, so an argument that is not a number reads cell 0
        lines.append(f"  const T w{i} = u{i} > T(0) ? min_(floor_(u{i}), n{i} - T(1)) : T(0);")
        lines.append(f"  const T t{i} = u{i} - w{i};")
        lines.append(f"  cell = cell * int64_t(h[{3 * i + 2}]) + int64_t(w{i});")
    lines.append(f"  const Entry* c = h + {3 * d} + cell * {size**d};")
    value, width = [f"T(c[{i}])" for i in range(size**d)], size
    for axis in reversed(range(d)):
        value = [
            _polynomial(value[i : i + width], f"t{axis}", orders[axis], f"T(h[{3 * axis + 1}])")
            for i in range(0, len(value), width)
        ]
    lines.append(f"  return inside ? {value[0]} : T(0);")
    return "\n".join([*lines, "}", ""])


def _polynomial(coefficients: Sequence[str], t: str, order: int, inverse_step: str) -> str:
    if order:
        coefficients = [f"T({i}) * ({c})" for i, c in enumerate(coefficients)][1:]
    result = ""
    for c in reversed(coefficients):
        result = f"({c} + {t} * {result})" if result else f"({c})"
    if not order:
        return result
    return f"({result} * {inverse_step})" if result else "T(0)"
