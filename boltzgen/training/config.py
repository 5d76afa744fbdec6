"""Settings of a training run: one schema for Python, the command line and TOML files."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from boltzgen.objectives.outliers import Outliers
from boltzgen.quantities import PositiveSeconds

ObjectiveName = Literal["auto", "reverse-kl", "guided", "mass-covering", "annealed", "walkers", "likelihood"]


class WalkersConfig(BaseModel):
    """Forward KL on a population of walkers beside the reverse KL.

    ``steps``: steps of Langevin dynamics between two training steps. ``weight``: of the forward KL, where the
    reverse KL has weight one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: PositiveInt = 512
    steps: PositiveInt = 10
    weight: PositiveFloat = 0.5


class GuidedConfig(BaseModel):
    """What guides the reverse KL to every conformer.

    ``conditional_share`` of each batch takes its torsions from frames of all temperatures and trains the
    stiff coordinates there. ``frames`` of dynamics in each conformer enter a log-dispersion of weight
    ``dispersion_weight``, where a frame's deviation counts up to ``dispersion_bound`` nats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditional_share: float = Field(default=0.25, ge=0.0, lt=1.0)
    frames: PositiveInt = 128
    dispersion_weight: float = Field(default=0.3, ge=0.0)
    dispersion_bound: PositiveFloat = 5.0


class MassCoveringConfig(BaseModel):
    """α = 2 bootstrap: annealed importance sampling fills a buffer, training draws from it.

    ``stages`` intermediate densities, with a trajectory of ``leapfrog`` steps each; ``refresh_every``
    training steps ``particles`` new points come in. ``correction_bound`` limits the weight that makes up for
    a model that has changed since.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    particles: PositiveInt = 512
    stages: PositiveInt = 6
    leapfrog: PositiveInt = 3
    refresh_every: PositiveInt = 8
    buffer_refreshes: PositiveInt = 64
    correction_bound: PositiveFloat = 10.0


class AnnealedConfig(BaseModel):
    """Hot reverse KL, then forward KL on the model's own reweighted samples, ever colder.

    ``hot_share`` of what the warm-up leaves is for the reverse KL at ``TrainingConfig.hot_factor`` times the
    temperature. Then ``rungs`` temperatures follow in geometric steps, and ``repeats`` rounds more at the
    target's. A round learns from the model as it was when the round began: from ``samples`` of it at a time,
    each used about once, with weights of which at least ``effective_share`` are effective. With
    ``trust_region`` the target's temperature holds all along and each round moves at most ``max_divergence``
    (KL, nats) and loses at most ``max_entropy_loss`` (nats).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hot_share: float = Field(default=0.4, gt=0.0, lt=1.0)
    rungs: PositiveInt = 8
    repeats: PositiveInt = 8
    samples: PositiveInt = 16_384
    effective_share: float = Field(default=0.3, gt=0.0, lt=1.0)
    trust_region: bool = False
    max_divergence: PositiveFloat = 0.3
    max_entropy_loss: PositiveFloat = 3.0


class TrainingConfig(BaseModel):
    """Hyperparameters of training: an objective after a likelihood warm-up on thermal frames.

    ``stop_early`` ends the training of a flow where more of it would cost more time than it saves, given how
    many effective samples are wanted; without it training takes the whole budget.
    ``budget_seconds`` bounds the wall time of training, by default what a whole run's budget leaves; where
    ``max_steps`` is given the schedule follows the steps instead and a seed repeats a run exactly.
    ``processes`` on the CPU each take a ``batch_size`` of every step: by default as many as torch has
    threads, at most eight, and one where ``max_steps`` is given.
    ``cuda_graph`` records steps on a GPU and repeats them where nothing but parameters and random numbers
    changes; it is off as long as it has not been measured. In reverse KL the ``drop_fraction`` worst
    samples of a batch do not train, and those of a flow whose action lies ``log_cut`` nats above the median
    train with its logarithm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: ObjectiveName = "auto"
    stop_early: bool = True
    budget_seconds: PositiveSeconds | None = None
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 512
    processes: PositiveInt | None = None
    cuda_graph: bool = False
    warmup_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    warmup_learning_rate: PositiveFloat = 2e-3
    learning_rate: PositiveFloat = 1e-3
    hot_factor: float = Field(default=2.0, ge=1.0)
    anneal_share: float = Field(default=0.3, ge=0.0, lt=1.0)
    drop_fraction: float = Field(default=0.01, ge=0.0, lt=0.5)
    log_cut: PositiveFloat = 10.0
    gradient_norm: PositiveFloat = 10.0
    averaging: float = Field(default=0.1, gt=0.0, lt=1.0)
    guided: GuidedConfig = GuidedConfig()
    walkers: WalkersConfig = WalkersConfig()
    mass_covering: MassCoveringConfig = MassCoveringConfig()
    annealed: AnnealedConfig = AnnealedConfig()

    @property
    def outliers(self) -> Outliers:
        """How reverse KL treats the worst samples of a batch."""
        return Outliers(self.drop_fraction, self.log_cut)
