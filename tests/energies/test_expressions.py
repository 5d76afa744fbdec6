"""OpenMM's expression language: values and derivatives against OpenMM, errors, and the graphs' algebra."""

import contextlib
import math

import numpy as np
import openmm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzgen.codegen.derivatives import gradient
from boltzgen.codegen.graphs import constant, topological, variable
from boltzgen.codegen.torch_printer import torch_function
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.language.expressions import Scope, parse
from boltzgen.errors import InputError

from .oracle import assert_equal_to_openmm

POINTS = np.random.default_rng(2).normal(size=(6, 1, 3))


def external(text: str) -> openmm.System:
    """A system whose energy is the expression in x, y, z and a = 1.7."""
    system = openmm.System()
    system.addParticle(1.0)
    force = openmm.CustomExternalForce(text)
    force.addPerParticleParameter("a")
    force.addParticle(0, [1.7])
    system.addForce(force)
    return system


def value(text: str, **names: float) -> float:
    graph = parse(text, Scope({name: constant(number) for name, number in names.items()}))
    return graph.constant


@pytest.mark.parametrize(
    "text",
    [
        "-x^2 + 2^3^0.5 - x/y/z*2",
        "x-y-z+(x-(y-z))",
        "-(x+y)*-z^3 - -x",
        "x^-2 + y^5 - a^x + (x^2)^1.5 + z^0 + x^1",
        "2e-1*x + .5*y + 3.*z + 1E2",
        "sqrt(x^2+1)+exp(-x^2)+log(y^2+1)+sin(x)+cos(y)+sec(z)+csc(x+9)+tan(y)+cot(x+9)",
        "asin(tanh(x))+acos(tanh(y))+atan(z)+atan2(x,y)+sinh(x)+cosh(y)+tanh(z)",
        "erf(x)+erfc(y)+square(x)+cube(y)+recip(z)+abs(x)+min(x,y)+max(y,z)",
        "x*step(y)+z*delta(x)+floor(3*x)*y+ceil(3*z)*x+select(step(x-y), x^2, z)",
        "u*v + w; u = v^2 + x; v = w*y; w = sin(z)",
        "  u ;u=  x ; ",
        "x*(y+a)^3/(1+z^2)",
        "0*x + 1",
        "select(x, y, 2*z) + select(0, x, y)",
        "pow(x^2+1, y)",
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_expression_equals_openmm(text, compiled):
    if "pow(" in text:
        text = text.replace("pow(x^2+1, y)", "(x^2+1)^y")
    system = external(text)
    assert_equal_to_openmm(compile_system(system, compiled=compiled), system, POINTS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x + q", "'q'"),
        ("foo(x)", "'foo'"),
        ("x +", "ends"),
        ("(x", r"'\)'"),
        ("x y", "'y'"),
        ("x; nonsense", "name = expression"),
        ("atan2(x)", "2 argument"),
        ("x $ y", r"\$"),
        ("* x", r"'\*'"),
        ("distance(p1,p7)", "distance"),
    ],
)
def test_what_is_not_understood_is_named(text, says):
    with pytest.raises(InputError, match=says):
        parse(text, Scope({"x": variable("x"), "y": variable("y")}))


def test_definitions_see_only_those_to_their_right():
    assert value("a; a = b + 1; b = 2") == 3.0
    with pytest.raises(InputError, match="'a'"):
        value("b; a = 2; b = a")


def test_equal_subexpressions_are_one_node():
    graph = parse("sin(x*y) + sin(x*y)^2", Scope({"x": variable("x"), "y": variable("y")}))
    assert sum(n.op == "sin" for n in topological([graph])) == 1


def test_derivative_by_a_variable_that_is_absent_is_zero():
    assert gradient(parse("x", Scope({"x": variable("x")})), ["y"])[0].constant == 0.0


def expressions() -> st.SearchStrategy[str]:
    """Random smooth expressions of x, y, z and a that are finite everywhere."""
    leaves = st.sampled_from(["x", "y", "z", "a", "0.5", "2", "1.25"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        two = st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})")
        ratio = st.tuples(inner, inner).map(lambda t: f"{t[0]}/(1+({t[1]})^2)")
        one = st.tuples(st.sampled_from(["sin", "cos", "tanh", "atan", "erf"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        )
        root = inner.map(lambda t: f"sqrt(1+({t})^2)")
        chosen = st.tuples(inner, inner, inner).map(lambda t: f"select(step({t[0]}),{t[1]},{t[2]})")
        bounded = st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda t: f"{t[0]}({t[1]},{t[2]})"
        )
        power = st.tuples(inner, st.integers(2, 4)).map(lambda t: f"tanh({t[0]})^{t[1]}")
        minus = inner.map(lambda t: f"-{t}")
        return st.one_of(two, ratio, one, root, chosen, bounded, power, minus)

    return st.recursive(leaves, grow, max_leaves=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=expressions())
def test_random_expressions_equal_openmm(text):
    system = external(text)
    assert_equal_to_openmm(compile_system(system, compiled=False), system, POINTS)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(text=expressions())
def test_random_derivatives_equal_autograd(text):
    names = {name: variable(name) for name in "xyza"}
    graph = parse(text, Scope(names))
    function = torch_function([graph, *gradient(graph, "xyz")], list(names))
    x = torch.tensor(POINTS[:, 0].T, dtype=torch.float64, requires_grad=True)
    energy, *slopes = function(*x, torch.tensor(1.7, dtype=torch.float64))
    if not isinstance(energy, torch.Tensor) or not energy.requires_grad:
        return
    (expected,) = torch.autograd.grad(energy.sum(), x)
    for slope, row in zip(slopes, expected, strict=True):
        torch.testing.assert_close(torch.as_tensor(slope, dtype=torch.float64).detach().expand(6), row)


def test_infinite_constants_do_not_break_the_parser():
    assert math.isinf(
        float(torch_function([parse("1/x", Scope({"x": variable("x")}))], ["x"])(torch.zeros(()))[0])
    )


@pytest.mark.parametrize(
    "text", ["(" * 3000 + "x" + ")" * 3000, "-" * 3000 + "x", "^".join(["x"] * 3000), "sin(" * 3000 + "x"]
)
def test_deep_nesting_is_refused_in_a_sentence(text):
    with pytest.raises(InputError, match=r"nested more than 50 deep; name its parts") as refused:
        parse(text, Scope({"x": variable("x")}))
    assert len(str(refused.value)) < 400


def test_nesting_that_is_not_deep_and_long_sums_are_read():
    assert value("(" * 40 + "x" + ")" * 40, x=3.0) == 3.0
    assert value("+".join(["x"] * 5000), x=3.0) == 15000.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(alphabet="xy12.e+-*/^(),;= sincomax", max_size=30))
def test_any_text_is_read_or_refused_with_an_input_error(text):
    with contextlib.suppress(InputError):
        parse(text, Scope({"x": variable("x"), "y": variable("y")}))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("text", ["x + sqrt(0-1)", "y*log(0)", "z^2 + 1/(a-a)"])
def test_expressions_that_are_never_finite_have_infinite_energy(text, compiled):
    energy = compile_system(external(text), compiled=compiled)
    value, gradient = energy.energy_and_gradient(torch.tensor(POINTS).permute(2, 1, 0).contiguous())
    assert torch.isinf(value).all()
    assert gradient.abs().max() == 0.0
