"""Faults that the tests must find: each is one exact change of the package's text (see mutation.py).

A fault is found again by its text, wherever its file has moved; ``old`` occurs once in its file, and in no
other. ``tests`` are those that should find it, tried before all others.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """``old`` becomes ``new``, which breaks ``what``."""

    what: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    # units
    Fault(
        "kilocalories are 4.2 kJ",
        "KJ_PER_KCAL = 4.184",
        "KJ_PER_KCAL = 4.2",
        ("tests/test_units.py",),
    ),
    Fault(
        "the gas constant is one per mille too large",
        "GAS_CONSTANT = AVOGADRO * BOLTZMANN_J_PER_K * 1e-3",
        "GAS_CONSTANT = AVOGADRO * BOLTZMANN_J_PER_K * 1.001e-3",
        ("tests/test_units.py",),
    ),
    Fault(
        "electric charges interact in other units",
        "COULOMB_CONSTANT = ELEMENTARY_CHARGE**2 * AVOGADRO / (4 * math.pi * VACUUM_PERMITTIVITY) * 1e6",
        "COULOMB_CONSTANT = ELEMENTARY_CHARGE**2 * AVOGADRO / (4 * math.pi * VACUUM_PERMITTIVITY) * 1.0001e6",
        ("tests/energies",),
    ),
    # force field
    Fault(
        "MMFF's 1-4 electrostatics are not scaled",
        "ONE_FOUR_ELECTROSTATICS = 0.75",
        "ONE_FOUR_ELECTROSTATICS = 1.0",
        ("tests/forcefields",),
    ),
    Fault(
        "1-3 pairs interact",
        "if separation[i, j] < 3:",
        "if separation[i, j] < 2:",
        ("tests/forcefields",),
    ),
    Fault(
        "the twofold torsion has the opposite sign",
        "v2*(1 - cos(2*theta))",
        "v2*(1 + cos(2*theta))",
        ("tests/forcefields",),
    ),
    Fault(
        "stretch-bend takes its two force constants the wrong way round",
        "[scale * k1, scale * k2, length1, length2, angle]",
        "[scale * k2, scale * k1, length1, length2, angle]",
        ("tests/forcefields",),
    ),
    # energies
    Fault(
        "dihedrals have the sign of the mirror image",
        'return call("atan2", norm(v2) * dot(v1, n2), dot(n1, n2))',
        'return call("atan2", -(norm(v2) * dot(v1, n2)), dot(n1, n2))',
        ("tests/energies",),
    ),
    Fault(
        "the derivative of the cosine has the wrong sign",
        '"cos": _function(math.cos, lambda m, g, f, a: -(g * m.sin(a))),',
        '"cos": _function(math.cos, lambda m, g, f, a: g * m.sin(a)),',
        ("tests/energies", "tests/codegen"),
    ),
    Fault(
        "the harmonic angle lacks its factor one half",
        '"0.5*k*(angle(p1,p2,p3)-rest)^2"',
        '"k*(angle(p1,p2,p3)-rest)^2"',
        ("tests/energies",),
    ),
    Fault(
        "exclusions of custom nonbonded forces are ignored",
        "return [pair for pair in combinations(range(force.getNumParticles()), 2) if pair not in excluded]",
        "return list(combinations(range(force.getNumParticles()), 2))",
        ("tests/energies",),
    ),
    Fault(
        "solvation is screened by the solute alone",
        "(1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric())",
        "(1 / force.getSoluteDielectric())",
        ("tests/energies",),
    ),
    Fault(
        "reduced energies are of another temperature than their gradients",
        "return self.energy(_batch_last(x)) / self.kT",
        "return self.energy(_batch_last(x)) / thermal_energy(300.0)",
        ("tests/energies", "tests/sampling"),
    ),
    # coordinates
    Fault(
        "atoms are placed as in the mirror image",
        "direction = torch.stack([sin_t * cos_a, sin_t * sin_a, -cos_t])",
        "direction = torch.stack([sin_t * cos_a, -sin_t * sin_a, -cos_t])",
        ("tests/coordinates",),
    ),
    Fault(
        "the Jacobian has b instead of b²",
        "log_radial = 2.0 * bonds.log()",
        "log_radial = bonds.log()",
        ("tests/coordinates",),
    ),
    Fault(
        "the Jacobian lacks the sine of the angles",
        "return log_radial.sum(0) + log_sin.sum(0) + log_slopes.sum(0)",
        "return log_radial.sum(0) + log_slopes.sum(0)",
        ("tests/coordinates",),
    ),
    Fault(
        "the torque about a bond has the wrong sign",
        "grad_polar = torch.stack([-(e2[:, 2:] * torque).sum(0), about_axis])",
        "grad_polar = torch.stack([-(e2[:, 2:] * torque).sum(0), -about_axis])",
        ("tests/coordinates",),
    ),
    Fault(
        "stretched torsions have the Jacobian of the inverse map",
        "return angle, -(2.0 * math.pi * density).log().sum(0)",
        "return angle, (2.0 * math.pi * density).log().sum(0)",
        ("tests/coordinates",),
    ),
    Fault(
        "the multiplicity of symmetric rotors is counted the wrong way in ln q of samples",
        "return internal, x, log_q - self.coordinates.log_multiplicity",
        "return internal, x, log_q + self.coordinates.log_multiplicity",
        ("tests/models",),
    ),
    Fault(
        "labels of symmetric rotors are folded into the wrong period",
        "return torch.remainder(-periods, n)",
        "return torch.remainder(periods, n)",
        ("tests/coordinates",),
    ),
    # stereo
    Fault(
        "tetrahedral centres are judged with the opposite handedness",
        "handedness.append(-sign if atom.GetChiralTag() == ccw else sign)",
        "handedness.append(sign if atom.GetChiralTag() == ccw else -sign)",
        ("tests/molecules",),
    ),
    Fault(
        "E counts as Z",
        "cis.append(1 if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else -1)",
        "cis.append(-1 if stereo in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS) else 1)",
        ("tests/molecules",),
    ),
    Fault(
        "samples of another stereoisomer have weight",
        "u = torch.where(model.coordinates.contains(x), target.reduced_energy(x), torch.inf)",
        "u = target.reduced_energy(x)",
        ("tests/workflows/test_sampling.py",),
    ),
    # flows
    Fault(
        "the log-determinant of an affine coupling has the wrong sign",
        "log_det = (-log_scale if inverse else log_scale).expand_as(x).sum(0)",
        "log_det = (log_scale if inverse else -log_scale).expand_as(x).sum(0)",
        ("tests/flows",),
    ),
    Fault(
        "compiled splines forget one slope's share of the derivative",
        "M = d1 * t * t + T(2) * s * m + d0 * u * u;\n    const T up",
        "M = d1 * t * t + T(2) * s * m + d1 * u * u;\n    const T up",
        ("tests/flows",),
    ),
    Fault(
        "couplings see the coordinates that they move",
        "layers.append(StiffCoupling(second, first, folds, stiff_hidden))",
        "layers.append(StiffCoupling(second, everything, folds, stiff_hidden))",
        ("tests/models", "tests/flows"),
    ),
    Fault(
        "latent angles have the density of half a circle",
        "return coordinates.base.log_prob(point.stiff) - coordinates.n_torsions * math.log(2.0 * math.pi)",
        "return coordinates.base.log_prob(point.stiff) - coordinates.n_torsions * math.log(math.pi)",
        ("tests/models",),
    ),
    # weights
    Fault(
        "importance weights multiply with q",
        "log_weights = -reduced_energies.detach().double() - log_prob.detach().double()",
        "log_weights = -reduced_energies.detach().double() + log_prob.detach().double()",
        ("tests/sampling",),
    ),
    Fault(
        "ln Z is of the sum of weights, not of their mean",
        "value = float(torch.logsumexp(log_weights, 0)) - math.log(n)",
        "value = float(torch.logsumexp(log_weights, 0))",
        ("tests/sampling",),
    ),
    Fault(
        "the effective size is Kish's squared",
        "return math.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))",
        "return math.exp(4 * torch.logsumexp(log_weights, 0) - 2 * torch.logsumexp(2 * log_weights, 0))",
        ("tests/sampling",),
    ),
    Fault(
        "errors of weighted means are too small by the size of weights",
        "variance = (weights.square() * (values - mean).square()).sum() * n / (n - 1)",
        "variance = (weights * (values - mean).square()).sum() / (n - 1)",
        ("tests/sampling",),
    ),
    Fault(
        "resampling draws every sample alike",
        "cumulative = weights.cumsum(0)",
        "cumulative = torch.ones_like(weights).cumsum(0)",
        ("tests/sampling",),
    ),
    Fault(
        "thinned samples keep their light weights",
        "return kept, log_weights[kept].clamp(min=log_c).where(log_weights[kept] > -math.inf, -math.inf)",
        "return kept, log_weights[kept]",
        ("tests/sampling", "tests/refinement"),
    ),
    # sampling
    Fault(
        "replica exchange accepts by the wrong sign of the energies",
        "(energy[:, lower] - energy[:, lower + 1])",
        "(energy[:, lower + 1] - energy[:, lower])",
        ("tests/sampling",),
    ),
    Fault(
        "dynamics is too cold by its noise",
        "velocities.mul_(decay).add_(noise, alpha=math.sqrt(1.0 - decay**2))",
        "velocities.mul_(decay).add_(noise, alpha=1.0 - decay)",
        ("tests/sampling",),
    ),
    Fault(
        "turns of bonds are accepted whatever they cost",
        "accepted = uniform[1].log() < (state.energy - energy) / kernel.kT",
        "accepted = uniform[1].log() < (state.energy - energy) / (2.0 * kernel.kT)",
        ("tests/sampling",),
    ),
    Fault(
        "annealing weighs particles twice",
        "weights = state.log_weights + gain",
        "weights = state.log_weights + 2.0 * gain",
        ("tests/sampling",),
    ),
    Fault(
        "Hamiltonian moves forget the kinetic energy",
        "log_ratio = log_ratio + 0.5 * (kinetic - momentum.double().square().sum(dim=1))",
        "log_ratio = log_ratio + 0.0 * (kinetic - momentum.double().square().sum(dim=1))",
        ("tests/sampling",),
    ),
    # training and verdict
    Fault(
        "the reverse KL climbs",
        "surrogate = -torch.stack(products).sum() / n_used",
        "surrogate = torch.stack(products).sum() / n_used",
        ("tests/objectives",),
    ),
    Fault(
        "walkers accept proposals by the inverse of their weights",
        "gain = proposal_log_weights.double() - walker_log_weights.double()",
        "gain = walker_log_weights.double() - proposal_log_weights.double()",
        ("tests/objectives",),
    ),
    Fault(
        "dropped conformers are judged by the wrong side of their weights",
        "if float(log_weights[members].double().median()) > log_z + MISSED_LOG_RATIO:",
        "if float(log_weights[members].double().median()) < log_z - MISSED_LOG_RATIO:",
        ("tests/evaluation",),
    ),
    Fault(
        "the free energy has the opposite sign",
        "return -self.kT * self.log_z.value",
        "return self.kT * self.log_z.value",
        ("tests/test_ensemble.py",),
    ),
)
