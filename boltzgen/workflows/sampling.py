"""Samples of a trained model, weighed as far as its density is known."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.accelerators import chunk_size
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import DensityKind, Ensemble
from boltzgen.memory import is_shortage
from boltzgen.models.model import GenerativeModel, ImplicitModel, LatentVariableModel, Model
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import Spent, StageProgress, Stopwatch, untimed
from boltzgen.sampling.importance import log_importance_weights

SAMPLING_CHUNK = 4096  # on the CPU
SMALL_CHUNK = 256  # where memory is short, and where energies are costly


def density_kind(model: Model) -> DensityKind:
    """What is known of the density of ``model``: "exact", "extended" (of (x, z)) or "none"."""
    if isinstance(model, GenerativeModel):
        return "exact"
    return "extended" if isinstance(model, LatentVariableModel) else "none"


@torch.no_grad()
def draw(
    model: Model,
    target: BoltzmannTarget,
    molecule: Molecule,
    n: int,
    generator: torch.Generator,
    watch: Stopwatch,
    spent: Spent = untimed,
) -> Ensemble:
    """``n`` samples of ``model`` with their energies, in chunks.

    There are fewer where ``spent`` says that the time is over: at least a chunk. Where memory is short,
    smaller chunks are tried. Samples that show another stereoisomer have no weight. Without a density all
    others weigh the same.
    """
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    made, chunk = 0, chunk_size(generator.device, SAMPLING_CHUNK)
    if target.energy.is_costly:
        chunk = SMALL_CHUNK
    with watch.stage("sampling", f"{n} samples"):
        while made < n and not (made and spent() >= 1.0):
            size = min(chunk, n - made)
            try:
                parts.append(_chunk(model, target, size, generator))
            except (MemoryError, RuntimeError) as error:
                if size <= SMALL_CHUNK or not is_shortage(error):
                    raise
                chunk = SMALL_CHUNK
                continue
            made += size
            watch.report(StageProgress("sampling", made / n))
    x, u, log_prob = (torch.cat(part) for part in zip(*parts, strict=True))
    if isinstance(model, ImplicitModel):
        return Ensemble.from_generated(molecule, x, u, target.temperature)
    return Ensemble.from_samples(molecule, x, u, log_prob, target.temperature, density=density_kind(model))


def _chunk(
    model: Model, target: BoltzmannTarget, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, reduced energies and log densities of ``n`` samples, on the CPU."""
    x, log_prob = sample_with_known_density(model, n, generator)
    u = torch.where(model.coordinates.contains(x), target.reduced_energy(x), torch.inf)
    return x.cpu(), u.cpu(), log_prob.cpu()


@torch.no_grad()
def draw_log_weights(
    model: Model, target: BoltzmannTarget, n: int, generator: torch.Generator
) -> Float[Tensor, " n"]:
    """Log weights of ``n`` fresh samples of a model with a density, as ``draw`` weighs them."""
    parts = []
    size = chunk_size(generator.device, SAMPLING_CHUNK)
    for first in range(0, n, size):
        _, u, log_prob = _chunk(model, target, min(size, n - first), generator)
        parts.append(log_importance_weights(u, log_prob))
    return torch.cat(parts)


def sample_with_known_density(
    model: Model, n: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Positions [n, atoms, 3] in nm and log q [n], or log g on (x, z), or nan where there is no density."""
    if isinstance(model, GenerativeModel):
        return model.sample_with_log_prob(n, generator)
    if isinstance(model, LatentVariableModel):
        return model.sample_with_extended_log_prob(n, generator)
    x = model.sample(n, generator)
    return x, x.new_full((n,), torch.nan)
