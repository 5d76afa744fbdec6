"""Settings of a training run: one schema for Python, the command line and TOML files."""

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class TrainingConfig(BaseModel):
    """Hyperparameters of training by reverse KL after a likelihood warm-up.

    ``budget_seconds`` bounds the wall time; where ``max_steps`` is given the schedule follows the steps
    instead and a seed repeats a run exactly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_seconds: PositiveFloat = 300.0
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 1024
    warmup_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    warmup_learning_rate: PositiveFloat = 2e-3
    learning_rate: PositiveFloat = 1e-3
    hot_factor: float = Field(default=2.0, ge=1.0)
    anneal_share: float = Field(default=0.3, ge=0.0, lt=1.0)
    drop_fraction: float = Field(default=0.01, ge=0.0, lt=0.5)
    gradient_norm: PositiveFloat = 10.0
    averaging: float = Field(default=0.1, gt=0.0, lt=1.0)
