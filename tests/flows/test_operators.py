"""Machine code of the layers against their torch definition: values, log-determinants, every gradient."""

import math

import pytest
import torch

from boltzgen.codegen.library import can_compile
from boltzgen.flows import operators
from boltzgen.flows.couplings import StiffCoupling, StiffSpline, TorsionCoupling
from boltzgen.flows.splines import circular_spline, linear_tail_spline

pytestmark = pytest.mark.usefixtures("compiler")
FOLDS = torch.tensor([1, 3, 1, 2])
NONE = torch.arange(0)
LAYERS = {
    "torsion coupling": lambda: TorsionCoupling(
        torch.tensor([0, 2]), torch.tensor([1, 3]), torch.tensor([1, 4]), FOLDS, 8, 16
    ),
    "marginal torsion splines": lambda: TorsionCoupling(torch.arange(4), NONE, NONE, FOLDS, 5, 8),
    "two bins": lambda: TorsionCoupling(torch.arange(4), NONE, NONE, FOLDS, 2, 8),
    "nothing moves": lambda: TorsionCoupling(NONE, NONE, NONE, FOLDS, 8, 8),
    "stiff coupling": lambda: StiffCoupling(torch.tensor([0, 2, 4]), torch.tensor([1, 3]), FOLDS, 16),
    "stiff constants": lambda: StiffCoupling(torch.tensor([0, 1]), NONE, FOLDS[:0], 16),
    "stiff splines": lambda: StiffSpline(5),
    "stiff spline of one bin": lambda: StiffSpline(5, bins=1),
}


@pytest.fixture(scope="module")
def compiler():
    assert can_compile(), "these tests need a C++ compiler"


@pytest.fixture(params=LAYERS, ids=str)
def layer(request):
    torch.manual_seed(7)
    layer = LAYERS[request.param]().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return layer


def inputs(layer, n, dtype=torch.float64):
    """Torsions up to half a turn outside the period and stiff coordinates beyond the splines' bounds."""
    generator = torch.Generator().manual_seed(n)
    n_torsions = len(layer.torsions) if isinstance(layer, StiffCoupling) else 4
    torsions = (3 * torch.rand(n, n_torsions, generator=generator, dtype=torch.float64) - 1.5) * math.pi
    stiff = 3 * torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return torsions.to(dtype).requires_grad_(), stiff.to(dtype).requires_grad_()


def results(layer, direction, torsions, stiff):
    """Outputs, and the gradients by inputs and parameters of a random linear form of the outputs."""
    outputs = getattr(layer, direction)(torsions, stiff)
    generator = torch.Generator().manual_seed(1)
    forms = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) for o in outputs]
    total = sum((o * form).sum() for o, form in zip(outputs, forms, strict=True))
    sources = [torsions, stiff, *layer.parameters()]
    return [*outputs, *torch.autograd.grad(total, sources, allow_unused=True, materialize_grads=True)]


@pytest.fixture
def both(monkeypatch):
    def run(layer, *arguments, compute=results):
        compiled = compute(layer, *arguments)
        with monkeypatch.context() as patch:
            patch.setattr(operators, "_serves", lambda *_: False)
            return compiled, compute(layer, *arguments)

    return run


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("n", [0, 1, 16, 133])
def test_equals_torch_in_every_number(layer, direction, n, both):
    torsions, stiff = inputs(layer, n)
    assert operators._serves([(torsions, 0), (stiff, 5)], next(layer.parameters()))
    for compiled, defined in zip(*both(layer, direction, torsions, stiff), strict=True):
        torch.testing.assert_close(compiled, defined, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_single_precision_is_as_good_as_torchs(layer, direction, both):
    torsions, stiff = inputs(layer, 400, torch.float32)
    exact = results(layer, direction, torsions.double(), stiff.double())
    compiled, defined = both(layer.float(), direction, torsions, stiff)
    for ours, theirs, truth in zip(compiled, defined, exact, strict=True):
        scale = 1e-6 * (1 + truth.abs().max()) if truth.numel() else 0.0
        assert (ours - truth).norm() <= 3 * (theirs - truth).norm() + scale * math.sqrt(max(1, truth.numel()))


def test_gradients_without_those_of_parameters(layer, both):
    torsions, stiff = inputs(layer, 20)
    layer.requires_grad_(False)
    gradients = []
    for outputs in (layer(torsions, stiff), layer.requires_grad_(True)(torsions, stiff)):
        total = outputs[0].sin().sum() + outputs[1].square().sum() + outputs[2].sum()
        gradients.append(torch.autograd.grad(total, (torsions, stiff), allow_unused=True))
    for alone, among in zip(*gradients, strict=True):
        torch.testing.assert_close(alone, among, rtol=0, atol=0)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_edges_bounds_and_beyond(periodic, inverse):
    """Inputs at the knots of equal bins, at the seam, outside, far away, and not finite."""
    bound = math.pi if periodic else 6.0
    ends = torch.linspace(-bound, bound, 9, dtype=torch.float64)
    odd = torch.tensor([-bound - 1e-12, bound + 1e-12, 7.0, -1e6, 1e300, math.nan, math.inf, -math.inf])
    x = torch.cat([ends, odd.double()])[:, None]
    raw = torch.zeros(25 if periodic else 23, 1, 1, dtype=torch.float64)
    raw[16:24] = torch.linspace(-2, 2, len(raw[16:24]), dtype=torch.float64)[:, None, None]
    value, log_det = operators.spline(x, raw, torch.arange(1), bound, periodic, inverse, 1)
    defined = circular_spline(x.T, raw, inverse) if periodic else linear_tail_spline(x.T, raw, bound, inverse)
    turn = (value - defined[0].T) / (2 * math.pi)
    apart = (turn - turn.round()) if periodic else turn
    far = (x.abs() > 1e3) & torch.isfinite(x) if periodic else torch.zeros_like(x, dtype=torch.bool)
    assert torch.equal(value.isnan(), defined[0].T.isnan())
    assert apart[~value.isnan() & ~far & ~value.isinf()].abs().max() < 1e-12
    finite = ~far[:, 0] & ~log_det.isnan()
    torch.testing.assert_close(log_det[finite], defined[1][0][finite], rtol=0, atol=1e-11)


def test_extreme_parameters_have_finite_gradients():
    raw = 30 * torch.randn(25, 3, 200, generator=torch.Generator().manual_seed(2))
    raw.requires_grad_()
    x = torch.linspace(-4, 4, 600).view(200, 3).requires_grad_()
    for inverse in (False, True):
        value, log_det = operators.spline(x, raw, torch.arange(3), math.pi, True, inverse, 3)
        gradients = torch.autograd.grad(value.sum() + log_det.sum(), [x, raw])
        assert all(torch.isfinite(tensor).all() for tensor in (value, log_det, *gradients))


@pytest.mark.parametrize("name", ["torsion coupling", "stiff coupling", "stiff splines"])
def test_numbers_do_not_depend_on_layout_in_memory(name):
    layer = LAYERS[name]().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    torsions, stiff = (t.detach() for t in inputs(layer, 37))
    expected = layer(torsions, stiff)
    wide = torch.cat([stiff, stiff], dim=1)[:, :5]
    for other in ((torsions.t().contiguous().t(), stiff), (torsions, wide)):
        for a, b in zip(layer(*other), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_nan_stays_with_its_sample():
    layer = LAYERS["torsion coupling"]().double()
    torsions, stiff = (t.detach().clone() for t in inputs(layer, 20))
    torsions[3] = math.nan
    value, _, log_det = layer(torsions, stiff)
    others = torch.arange(20) != 3
    assert value[3].isnan().all()
    assert value[others].isfinite().all()
    assert log_det[others].isfinite().all()


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_machine_code_cannot_serve_gets_torchs_error():
    layer = StiffCoupling(torch.tensor([0, 2, 4]), torch.tensor([1, 3]), FOLDS, 16)
    torsions, stiff = inputs(layer, 3, torch.float32)
    with pytest.raises((IndexError, RuntimeError)):
        layer(torsions, stiff[:, :3])
    with pytest.raises(RuntimeError):
        layer(torsions[:2], stiff)
    with pytest.raises(RuntimeError):
        layer(torsions.double(), stiff.double())


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_second_derivatives_equal_those_of_the_definition(layer, direction, both):
    """Gradients of a form of the gradient, by inputs and parameters, with machine code in the first pass."""

    def second(layer, direction, torsions, stiff):
        outputs = getattr(layer, direction)(torsions, stiff)
        sources = [torsions, stiff, *layer.parameters()]
        total = outputs[0].sin().sum() + outputs[1].pow(2).sum() + outputs[2].sin().sum()
        first = torch.autograd.grad(
            total, sources, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.autograd.grad(
            sum(g.sin().sum() for g in first), sources, allow_unused=True, materialize_grads=True
        )

    torsions, stiff = inputs(layer, 7)
    for compiled, defined in zip(*both(layer, direction, torsions, stiff, compute=second), strict=True):
        torch.testing.assert_close(compiled, defined, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_torch_accepts_the_operators(layer, direction, monkeypatch):
    """Schema, autograd, fake tensors and tracing, by torch's own checks, for forward and backward."""
    called = []
    for name in ("_spline", "_affine", "_coupling", "_spline_gradient", "_affine_gradient"):
        monkeypatch.setattr(operators, name, recording(getattr(operators, name), called))
    monkeypatch.setattr(operators, "_coupling_gradient", recording(operators._coupling_gradient, called))
    torsions, stiff = inputs(layer, 5)
    results(layer, direction, torsions, stiff)
    checked = set()
    for operator, arguments in called:
        if operator not in checked:
            forward = "backward" not in operator.name
            torch.library.opcheck(operator.overload, tuple(leaf(a, forward) for a in arguments))
        checked.add(operator)
    assert len(checked) == 2


def leaf(argument, differentiable):
    """A copy of an operator's argument without a history."""
    if isinstance(argument, list):
        return [leaf(a, differentiable) for a in argument]
    if not isinstance(argument, torch.Tensor):
        return argument
    return argument.detach().requires_grad_(differentiable and argument.requires_grad)


def recording(operator, called):
    def call(*arguments):
        called.append((operator, arguments))
        return operator(*arguments)

    return call


@pytest.mark.usefixtures("unchecked_shapes")  # the checks are not what torch should trace
def test_a_layer_compiles_to_one_graph():
    layer = LAYERS["torsion coupling"]()
    torsions, stiff = inputs(layer, 9, torch.float32)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for ours, theirs in zip(
        results(compiled, "forward", torsions, stiff), results(layer, "forward", torsions, stiff), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", ["torsion coupling", "stiff coupling"])
def test_an_exported_layer_is_one_operator_for_every_batch(name):
    torch.manual_seed(3)
    layer = LAYERS[name]()
    torsions, stiff = (t.detach() for t in inputs(layer, 9, torch.float32))
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad():
        program = torch.export.export(layer, (torsions, stiff), dynamic_shapes=(batch, batch))
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert calls.count(torch.ops.boltzgen.coupling.default) == 1
    for n in (9, 4, 33):
        given = [t.detach() for t in inputs(layer, n, torch.float32)]
        for ours, theirs in zip(program.module()(*given), layer(*given), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
