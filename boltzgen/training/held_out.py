"""How good a model is, by what it was not trained on: fresh samples of it, and thermal frames.

Neither half is enough alone. Reverse KL of samples is blind to a mode that the model has dropped, and the
likelihood of frames does not see what the model makes beside them. Their sum, up to a constant
KL(q‖p) + KL(f‖q) with f the frames' density, sees both, and needs no normalising constant.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.models.model import GenerativeModel, Internal, LatentVariableModel, Model
from boltzgen.training.data import TrainingData

SAMPLES = 1024
FRAMES = 1024
SEED = 20_480_111
BOUND_SAMPLES = 4  # of the latent variable for each frame
CUT = 30.0  # nats above the median from which a clash counts with its logarithm
LARGEST = 1e30  # nats, for what is not finite
# Nats by which a sound training may be worse than its best state. A start at twice the temperature, which is
# meant, costs 0.15 nats for each degree of freedom, at four times 0.8.
LEAST_TOLERANCE, TOLERANCE_PER_DEGREE = 20.0, 1.0


class HeldOutMeasure:
    """E_q[log q + u] + E_f[−log q] in nats, robust against single clashes: lower is better.

    Random numbers are the same at every call, so that states of a model are compared on the same latent
    points and frames. Clashes count with their logarithm, as in training, but a state most of whose samples
    clash has no median to hide behind.

    Parameters
    ----------
    model
        A model with a density, or with one on an extended space. Its parameters are read at each call.
    data
        The target, and frames of dynamics that few objectives learn from directly.
    evaluates
        Whether energies are evaluated. Without them the likelihood of the frames alone counts.
    """

    def __init__(
        self, model: GenerativeModel | LatentVariableModel, data: TrainingData, evaluates: bool = True
    ) -> None:
        self.model, self.target = model, data.target
        self.device, self.evaluates = data.generator.device, evaluates
        degrees_of_freedom = model.coordinates.n_torsions + model.coordinates.n_stiff
        self.tolerance = LEAST_TOLERANCE + TOLERANCE_PER_DEGREE * degrees_of_freedom
        frames = data.frames
        self.positions: Tensor | None = None
        if frames is not None and len(frames.stiff):
            rows = torch.arange(0, len(frames.stiff), max(1, len(frames.stiff) // FRAMES))[:FRAMES]
            chosen = Internal(*(part[rows.to(part.device)] for part in frames))
            with torch.no_grad():
                self.positions, _ = model.coordinates.to_positions(*chosen)

    @torch.no_grad()
    def __call__(self) -> float:
        """The measure of the model as it is; infinite where most of it is not finite."""
        generator = torch.Generator(self.device).manual_seed(SEED)
        value = 0.0
        if self.evaluates:
            x, log_prob = self._samples(generator)
            value += _robust_mean(log_prob + self.target.reduced_energy(x))
        if self.positions is not None:
            value += _robust_mean(-self._log_prob_of_frames(generator))
        return value

    def _samples(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if isinstance(self.model, LatentVariableModel):
            return self.model.sample_with_extended_log_prob(SAMPLES, generator)
        return self.model.sample_with_log_prob(SAMPLES, generator)

    def _log_prob_of_frames(self, generator: torch.Generator) -> Float[Tensor, " frames"]:
        assert self.positions is not None
        if isinstance(self.model, LatentVariableModel):
            return self.model.log_prob_bound(self.positions, BOUND_SAMPLES, generator)
        return self.model.log_prob(self.positions)


def held_out_measure(model: Model, data: TrainingData, evaluates: bool = True) -> HeldOutMeasure | None:
    """The measure of ``model``, or None where nothing is known of its density."""
    if isinstance(model, GenerativeModel | LatentVariableModel):
        return HeldOutMeasure(model, data, evaluates)
    return None


def _robust_mean(values: Float[Tensor, " batch"]) -> float:
    """Mean of ``values``, of which those far above the median count with the logarithm of their excess."""
    values = torch.nan_to_num(values.double(), nan=LARGEST, posinf=LARGEST, neginf=LARGEST)
    values = values.clamp_max(LARGEST)
    median = values.median()
    excess = (values - median - CUT).clamp_min(0.0)
    mean = float((values - excess + torch.log1p(excess)).mean())
    return math.inf if float(median) >= LARGEST else mean
