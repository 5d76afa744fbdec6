"""Every row of the table of operators against mpmath: value, derivative rules and printed torch."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzgen.codegen.derivatives import gradient
from boltzgen.codegen.graphs import call, constant, power, variable
from boltzgen.codegen.operators import OPERATORS, SMALLEST_DIVISOR
from boltzgen.codegen.torch_printer import torch_function

# What the operator is to mpmath, and the ranges of its arguments where it is smooth.
REAL, POSITIVE, WITHIN = (-3.0, 3.0), (0.1, 3.0), (-0.95, 0.95)
MEANINGS = {
    "add": (lambda a, b: a + b, REAL, REAL),
    "sub": (lambda a, b: a - b, REAL, REAL),
    "mul": (lambda a, b: a * b, REAL, REAL),
    "div": (lambda a, b: a / b, REAL, POSITIVE),
    "neg": (lambda a: -a, REAL),
    "pow": (mpmath.power, POSITIVE, REAL),
    "sqrt": (mpmath.sqrt, POSITIVE),
    "norm": (mpmath.sqrt, POSITIVE),
    "guard": (lambda a: a, POSITIVE),
    "exp": (mpmath.exp, REAL),
    "log": (mpmath.log, POSITIVE),
    "sin": (mpmath.sin, REAL),
    "cos": (mpmath.cos, REAL),
    "tan": (mpmath.tan, WITHIN),
    "asin": (mpmath.asin, WITHIN),
    "acos": (mpmath.acos, WITHIN),
    "atan": (mpmath.atan, REAL),
    "atan2": (mpmath.atan2, REAL, POSITIVE),
    "sinh": (mpmath.sinh, REAL),
    "cosh": (mpmath.cosh, REAL),
    "tanh": (mpmath.tanh, REAL),
    "erf": (mpmath.erf, REAL),
    "erfc": (mpmath.erfc, REAL),
    "step": (lambda a: mpmath.mpf(a >= 0), POSITIVE),
    "delta": (lambda a: mpmath.mpf(a == 0), POSITIVE),
    "floor": (mpmath.floor, (0.1, 0.9)),
    "ceil": (mpmath.ceil, (0.1, 0.9)),
    "abs": (lambda a: abs(a), (-3.0, -0.1)),
    "min": (min, REAL, (4.0, 5.0)),
    "max": (max, REAL, (4.0, 5.0)),
    "select": (lambda a, b, c: b if a != 0 else c, POSITIVE, REAL, REAL),
}


def test_every_operator_has_a_meaning_here():
    assert set(MEANINGS) == set(OPERATORS)
    assert {name: len(ranges) for name, (_, *ranges) in MEANINGS.items()} == {
        name: operator.arity for name, operator in OPERATORS.items()
    }


def graph_of(op, arguments):
    return power(*arguments) if op == "pow" else call(op, *arguments)


@pytest.mark.parametrize("op", OPERATORS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_value_and_derivatives_equal_mpmath(op, data):
    meaning, *ranges = MEANINGS[op]
    numbers = [data.draw(st.floats(*bounds)) for bounds in ranges]
    value = float(meaning(*numbers))
    assert OPERATORS[op].value(*numbers) == pytest.approx(value, rel=1e-13, abs=1e-13)
    assert graph_of(op, [constant(number) for number in numbers]).constant == pytest.approx(value, rel=1e-13)
    names = [f"a{i}" for i in range(len(numbers))]
    graph = graph_of(op, [variable(name) for name in names])
    function = torch_function([graph, *gradient(graph, names)], names)
    found = [float(v) for v in function(*torch.tensor(numbers, dtype=torch.float64))]
    assert found[0] == pytest.approx(value, rel=1e-12, abs=1e-13)
    for index, slope in enumerate(found[1:]):
        orders = tuple(int(index == i) for i in range(len(numbers)))
        smooth = op not in ("step", "delta", "floor", "ceil")
        exact = float(mpmath.diff(meaning, tuple(map(mpmath.mpf, numbers)), orders)) if smooth else 0.0
        assert slope == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_guards_bound_derivatives_where_lengths_vanish():
    x, y = variable("x"), variable("y")
    length, angle = call("norm", x * x + y * y), call("atan2", y, x)
    function = torch_function([*gradient(length, ["x"]), *gradient(angle, ["y"])], ["x", "y"])
    assert [float(v) for v in function(torch.tensor(0.0), torch.tensor(0.0))] == [0.0, 0.0]
    (slope,) = gradient(call("guard", x), ["x"])
    guarded = torch_function([slope], ["x"])
    assert float(guarded(torch.tensor(0.0))[0]) == 0.0
    assert float(guarded(torch.tensor(2 * SMALLEST_DIVISOR))[0]) == 1.0


@pytest.mark.parametrize(
    ("op", "numbers"), [("sqrt", [-1.0]), ("log", [0.0]), ("div", [1.0, 0.0]), ("pow", [-2.0, 0.5])]
)
def test_constants_without_a_finite_value_are_ieee_numbers_in_torch(op, numbers):
    graph = graph_of(op, [constant(number) for number in numbers]) * variable("x")
    (found,) = torch_function([graph], ["x"])(torch.ones(2, dtype=torch.float64))
    with np.errstate(all="ignore"):
        expected = {"sqrt": np.sqrt, "log": np.log, "div": np.divide, "pow": np.power}[op](*numbers)
    np.testing.assert_equal(found.numpy(), [expected] * 2)
