"""The energy as a torch function: autograd, bad positions, storage, machine code or none; and the target."""

import dataclasses
import math

import numpy as np
import openmm
import pytest
import torch

from boltzgen.energies import BoltzmannTarget, Energy
from boltzgen.energies import energy as energy_module
from boltzgen.energies.backends import cpp_backend
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError, InputError
from boltzgen.units import GAS_CONSTANT

from . import forces
from .oracle import batch_last

ALL = [forces.nonbonded, forces.periodic_torsion, forces.harmonic_angle, forces.gbsa_obc, forces.cmap]


def system_of_everything() -> openmm.System:
    system = forces.particles()
    for make in [*ALL, forces.tabulated_compound_bond, forces.custom_gb]:
        system.addForce(make())
    return system


def positions(n: int, scale: float = 0.4) -> np.ndarray:
    return scale * np.random.default_rng(5).normal(size=(n, forces.N_ATOMS, 3))


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_reaches_autograd(compiled):
    energy = compile_system(system_of_everything(), compiled=compiled)
    x = batch_last(positions(3)).requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (energy(x) * weights).sum().backward()
    _, gradient = energy.energy_and_gradient(x.detach())
    torch.testing.assert_close(x.grad, gradient * weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("compiled", [False, True])
def test_impossible_positions_have_infinite_energy_and_no_gradient(compiled, dtype):
    energy = compile_system(system_of_everything(), compiled=compiled)
    x = batch_last(positions(6), dtype)
    x[0, 0, 1] = math.nan
    x[1, 2, 2] = math.inf
    x[:, :, 3] = 0.0  # every atom at one point
    value, gradient = energy.energy_and_gradient(x)
    assert not bool(torch.isnan(value).any())
    assert torch.isfinite(value).tolist()[:3] == [True, False, False]
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient[:, :, 1:3].abs().max()) == 0.0
    alone, _ = energy.energy_and_gradient(x[:, :, 4:5])
    torch.testing.assert_close(value[4:5], alone)


@pytest.mark.parametrize("make", [forces.harmonic_angle, forces.periodic_torsion, forces.custom_torsion])
@pytest.mark.parametrize("compiled", [False, True])
def test_atoms_in_a_line_have_finite_forces(make, compiled):
    energy = compile_system(forces.system_with(make), compiled=compiled)
    line = np.zeros((1, forces.N_ATOMS, 3))
    line[0, :, 0] = 0.1 * np.arange(forces.N_ATOMS)
    for dtype in (torch.float32, torch.float64):
        value, gradient = energy.energy_and_gradient(batch_last(line, dtype))
        assert bool(torch.isfinite(value).all())
        assert float(gradient.abs().max()) < 1e6


@pytest.mark.parametrize("batch", [0, 1, 2, 15, 16, 17, 200])
def test_machine_code_agrees_with_torch_for_every_batch_size_and_thread_count(batch):
    system = system_of_everything()
    native, plain = compile_system(system, compiled=True), compile_system(system, compiled=False)
    x = batch_last(positions(batch)) if batch else torch.zeros(3, forces.N_ATOMS, 0, dtype=torch.float64)
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            for a, b in zip(native.energy_and_gradient(x), plain.energy_and_gradient(x), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    finally:
        torch.set_num_threads(threads)


def test_single_precision_forces_are_good_to_1e_5():
    energy = compile_system(system_of_everything(), compiled=True)
    x = batch_last(positions(64), torch.float32)
    _, single = energy.energy_and_gradient(x)
    _, double = energy.energy_and_gradient(x.double())
    error = (single.double() - double).norm(dim=(0, 1)) / double.norm(dim=(0, 1))
    assert float(error.median()) < 2e-6
    assert float(error.max()) < 1e-5


def test_saved_energy_is_the_same_energy(tmp_path):
    energy = compile_system(system_of_everything(), compiled=False)
    energy.save(tmp_path / "energy.pt")
    again = Energy.load(tmp_path / "energy.pt", compiled=False)
    x = batch_last(positions(3))
    for name, values in energy.term_energies(x).items():
        torch.testing.assert_close(again.term_energies(x)[name], values, rtol=0, atol=0)
    torch.testing.assert_close(again(x), energy(x), rtol=0, atol=0)


class Foreign:
    """A class that torch does not unpickle."""


def test_file_that_is_no_energy_is_refused(tmp_path):
    energy = compile_system(forces.system_with(forces.gbsa_obc), compiled=False)
    energy.save(tmp_path / "energy.pt")
    whole = torch.load(tmp_path / "energy.pt", weights_only=True)
    (state,) = whole["terms"]
    (tmp_path / "text").write_text("hello")
    torch.save({"a": 1}, tmp_path / "other.pt")
    torch.save({"format": whole["format"], "n_atoms": Foreign()}, tmp_path / "foreign.pt")
    torch.save({"format": whole["format"], "n_atoms": 3}, tmp_path / "short.pt")
    torch.save({**whole, "terms": [{**state, "kind": "unheard of"}]}, tmp_path / "kind.pt")
    torch.save({**whole, "terms": [{"kind": "born", "name": "b"}]}, tmp_path / "lacking.pt")
    names = ["text", "other.pt", "foreign.pt", "short.pt", "kind.pt", "lacking.pt", "missing"]
    for name in names:
        with pytest.raises(InputError, match=name):
            Energy.load(tmp_path / name)


def test_term_energies_add_up_under_unique_names():
    system = system_of_everything()
    system.addForce(forces.nonbonded())
    energy = compile_system(system, compiled=False)
    terms = energy.term_energies(batch_last(positions(3)))
    assert "NonbondedForce 2" in terms
    torch.testing.assert_close(sum(terms.values()), energy(batch_last(positions(3))))


def test_without_a_compiler_torch_serves(monkeypatch):
    monkeypatch.setattr(energy_module, "find_compiler", lambda: None)
    monkeypatch.setattr(cpp_backend, "can_compile", lambda: False)
    energy = compile_system(forces.system_with(forces.nonbonded))
    assert bool(torch.isfinite(energy(batch_last(positions(2)))).all())
    with pytest.raises(InputError, match="compiler"):
        compile_system(forces.system_with(forces.nonbonded), compiled=True)


def test_a_compiler_that_fails_is_said_once_and_torch_serves(monkeypatch):
    def broken(*_):
        raise EvaluationError("no space left")

    monkeypatch.setattr(cpp_backend, "CppEnergy", broken)
    monkeypatch.setattr(cpp_backend, "can_compile", lambda: True)
    energy = compile_system(forces.system_with(forces.nonbonded))
    x = batch_last(positions(2))
    with pytest.warns(UserWarning, match="no space left"):
        value = energy(x)
    torch.testing.assert_close(energy(x), value)


def test_global_parameters_can_be_given():
    system = forces.system_with(forces.custom_bond)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setParameter("strength", 5.0)
    context.setPositions(positions(1)[0])
    expected = context.getState(getEnergy=True).getPotentialEnergy()._value
    energy = compile_system(system, compiled=False, global_parameters={"strength": 5.0})
    assert float(energy(batch_last(positions(1)))) == pytest.approx(expected, rel=1e-12)


def periodic(system):
    force = forces.nonbonded(openmm.NonbondedForce.CutoffPeriodic)
    system.addForce(force)


def barostat(system):
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))


def constrained(system):
    system.addConstraint(0, 1, 0.1)


def massless(system):
    system.setParticleMass(3, 0.0)


def virtual(system):
    system.setParticleMass(3, 0.0)
    system.setVirtualSite(3, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (periodic, "box"),
        (barostat, "box"),
        (constrained, "constrain"),
        (massless, "mass"),
        (virtual, "virtual"),
    ],
)
def test_systems_without_meaning_here_are_refused(change, says):
    system = forces.particles()
    change(system)
    with pytest.raises(InputError, match=says):
        compile_system(system)


def test_constraints_can_be_released():
    system = forces.system_with(forces.harmonic_bond)
    constrained(system)
    compile_system(system, release_constraints=True)


def test_target_is_the_energy_in_units_of_kT_and_counts():
    energy = compile_system(forces.system_with(forces.nonbonded), compiled=False)
    target = BoltzmannTarget(energy, 300.0)
    x = torch.tensor(positions(5), requires_grad=True)
    u = target.reduced_energy(x)
    torch.testing.assert_close(u, energy(batch_last(positions(5))) / (GAS_CONSTANT * 300.0))
    u.sum().backward()
    hot = target.at_temperature(600.0)
    half, gradient = hot.reduced_energy_and_gradient(x.detach())
    torch.testing.assert_close(half, u.detach() / 2)
    torch.testing.assert_close(gradient, x.grad / 2)
    assert target.evaluations == hot.evaluations == 10


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_must_be_positive(temperature):
    energy = compile_system(forces.system_with(forces.nonbonded), compiled=False)
    with pytest.raises(InputError, match="temperature"):
        BoltzmannTarget(energy, temperature)


@pytest.mark.parametrize("compiled", [False, True])
def test_not_a_number_is_seen_even_beyond_a_cutoff(compiled):
    energy = compile_system(forces.system_with(forces.custom_nonbonded_cutoff), compiled=compiled)
    x = batch_last(positions(2))
    x[:, 0, 0] = math.nan
    assert torch.isinf(energy(x)).tolist() == [True, False]


def test_parameters_that_are_not_numbers_are_refused():
    for make in (forces.custom_bond, forces.gbsa_obc):
        force = make()
        if isinstance(force, openmm.GBSAOBCForce):
            force.setParticleParameters(2, math.nan, 0.1, 0.8)
        else:
            force.setBondParameters(0, 0, 1, [math.inf, 0.1])
        system = forces.particles()
        system.addForce(force)
        with pytest.raises(InputError, match="give numbers"):
            compile_system(system)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("compiled", [False, True])
def test_positions_of_another_molecule_are_refused(compiled):
    energy = compile_system(forces.system_with(forces.nonbonded), compiled=compiled)
    for shape in [(3, forces.N_ATOMS - 1, 2), (forces.N_ATOMS, 3, 2)]:
        with pytest.raises(InputError, match="shape"):
            energy.energy_and_gradient(torch.zeros(shape))


def bond_beyond(system):
    force = openmm.HarmonicBondForce()
    force.addBond(0, forces.N_ATOMS, 0.1, 1000.0)
    system.addForce(force)


def atom_before(system):
    force = openmm.CustomExternalForce("x^2")
    force.addParticle(-1, [])
    system.addForce(force)


def one_particle_less(kind):
    def change(system):
        force = kind()
        for _ in range(forces.N_ATOMS - 1):
            force.addParticle(0.1, 0.2, 0.3)
        system.addForce(force)

    return change


@pytest.mark.parametrize(
    "change",
    [
        bond_beyond,
        atom_before,
        one_particle_less(openmm.GBSAOBCForce),
        one_particle_less(openmm.NonbondedForce),
    ],
)
def test_forces_on_other_particles_are_refused(change):
    system = forces.particles()
    change(system)
    with pytest.raises(InputError, match=r"atom|particles"):
        compile_system(system)


def test_file_with_other_atoms_is_refused(tmp_path):
    for make in (forces.nonbonded, forces.gbsa_obc, forces.cmap):
        compile_system(forces.system_with(make), compiled=False).save(tmp_path / "energy.pt")
        content = torch.load(tmp_path / "energy.pt", weights_only=True)
        torch.save({**content, "n_atoms": forces.N_ATOMS - 1}, tmp_path / "fewer.pt")
        with pytest.raises(InputError, match="atoms"):
            Energy.load(tmp_path / "fewer.pt")
    (state, *others) = content["terms"]
    state["tables"]["map"]["coefficients"] = state["tables"]["map"]["coefficients"][0]
    torch.save({**content, "terms": [state, *others]}, tmp_path / "table.pt")
    with pytest.raises(InputError, match="table"):
        Energy.load(tmp_path / "table.pt")


def test_parameters_of_an_implicit_solvent_must_have_names():
    (term,) = compile_system(forces.system_with(forces.gbsa_obc), compiled=False).terms.values()
    with pytest.raises(InputError, match="parameter names"):
        dataclasses.replace(term, parameters=term.parameters[:, :2])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_global_parameters_must_be_numbers_of_a_force(value):
    system = forces.system_with(forces.custom_bond)
    with pytest.raises(InputError, match="'stregnth'; there are strength"):
        compile_system(system, global_parameters={"stregnth": 5.0})
    with pytest.raises(InputError, match="give a number"):
        compile_system(system, global_parameters={"strength": value})


@pytest.mark.parametrize(("sigma", "epsilon"), [(-0.3, 0.5), (0.3, -0.5)])
def test_negative_lengths_and_depths_are_refused(sigma, epsilon):
    force = forces.nonbonded()
    force.setParticleParameters(4, 0.1, sigma, epsilon)
    system = forces.particles()
    system.addForce(force)
    with pytest.raises(InputError, match=r"atom 4 .* negative"):
        compile_system(system)
    force = forces.nonbonded()
    force.setExceptionParameters(0, 0, 1, 0.0, sigma, epsilon)
    system = forces.particles()
    system.addForce(force)
    with pytest.raises(InputError, match=r"atoms 0 and 1 .* negative"):
        compile_system(system)
