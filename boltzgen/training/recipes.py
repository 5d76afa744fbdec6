"""What is trained on what, in which order: the stages of a run."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.annealed import model_samples, resampled, tempered, trust_region_step
from boltzgen.objectives.conditional import conditional_reverse_kl
from boltzgen.objectives.dispersion import log_dispersion, usual_level
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.objectives.mass_covering import Bootstrap, PrioritisedBuffer, bootstrap_loss
from boltzgen.objectives.reverse_kl import ReverseKLInfo, reverse_kl
from boltzgen.objectives.walkers import Proposals, Walkers, walker_likelihood
from boltzgen.training.config import Objective, TrainingConfig
from boltzgen.training.materials import Guides, Materials, batch, drawn_rows
from boltzgen.training.stage import Loss, Stage, Stateless

WARMUP_PASSES = 4


def stages(model: FlowModel, materials: Materials, config: TrainingConfig) -> list[Stage]:
    """The stages of ``config.objective``: a likelihood warm-up on frames, where there are any, comes first.

    "auto" is "guided", and "reverse-kl" where there are no guides. The counts of the walkers grow as the
    stages run. Raises InputError where the objective needs frames, guides or walkers and there are none.
    """
    target, frames, generator = materials.target, materials.frames, materials.generator
    objective: Objective = config.objective
    if objective == "auto":
        objective = "guided" if materials.guides is not None else "reverse-kl"
    if objective == "likelihood":
        if frames is None:
            raise InputError("Objective 'likelihood' learns from frames and there are none; give some.")
        stage = likelihood_stage(model, frames, config, generator)
        return [replace(stage, share=1.0, learning_rate=config.learning_rate, most_steps=None)]
    start = frames if materials.guides is None else materials.guides.frames
    warm_up = []
    if start is not None and config.warmup_share > 0:
        warm_up = [likelihood_stage(model, start, config, generator)]
    if objective == "guided":
        if materials.guides is None:
            raise InputError("Objective 'guided' needs frames of every conformer; there are none; give some.")
        return [*warm_up, guided_stage(model, target, materials.guides, config, generator)]
    if objective == "walkers":
        if materials.walkers is None:
            raise InputError("Objective 'walkers' needs a population of walkers and there is none; give one.")
        return [*warm_up, walkers_stage(model, target, materials.walkers, config, generator)]
    if objective == "mass-covering":
        return [*warm_up, mass_covering_stage(model, target, config, generator)]
    if objective == "annealed":
        return [*warm_up, *annealed_stages(model, target, config, generator)]
    return [*warm_up, reverse_kl_stage(model, target, config, generator)]


def inverse_temperature_schedule(config: TrainingConfig) -> Callable[[float], float]:
    """β/β_target over a stage: from 1/hot_factor to 1, geometrically, within the annealing share."""

    def schedule(progress: float) -> float:
        if config.anneal_share == 0.0:
            return 1.0
        return config.hot_factor ** (min(progress / config.anneal_share, 1.0) - 1.0)

    return schedule


def main_stage(
    name: str, loss: Callable[[float], Loss], config: TrainingConfig, stateless: Stateless | None = None
) -> Stage:
    """What the warm-up leaves of the budget for a ``loss`` that anneals to the target temperature."""
    share = 1.0 - config.warmup_share
    return Stage(
        name, share, config.learning_rate, loss, steady_from=config.anneal_share, stateless=stateless
    )


def likelihood_stage(
    model: FlowModel, frames: Internal, config: TrainingConfig, generator: torch.Generator
) -> Stage:
    """Maximum likelihood of ``frames``, in batches drawn with replacement: the warm-up.

    It goes through the frames ``WARMUP_PASSES`` times at most. On fifty thousand of the tetrapeptide the
    likelihood of frames held out is best after two; after twenty-six it is six nats worse.
    """

    def loss(progress: float) -> Loss:
        return Loss(negative_log_likelihood(model, batch(frames, config.batch_size, generator)))

    return Stage(
        "likelihood",
        config.warmup_share,
        config.warmup_learning_rate,
        loss,
        stateless=Stateless(generator),
        most_steps=math.ceil(WARMUP_PASSES * len(frames.stiff) / config.batch_size),
    )


def _reverse_kl(
    model: FlowModel,
    target: BoltzmannTarget,
    n: int,
    config: TrainingConfig,
    generator: torch.Generator,
    beta: float,
) -> tuple[Tensor, ReverseKLInfo]:
    """Reverse KL of ``n`` samples at β times the inverse temperature, bad ones treated as ``config`` says."""
    return reverse_kl(model, target, n, generator, beta, config.drop_fraction, config.log_cut)


def reverse_kl_stage(
    model: FlowModel,
    target: BoltzmannTarget,
    config: TrainingConfig,
    generator: torch.Generator,
) -> Stage:
    """Reverse KL with path gradients, started hot and annealed to the target temperature."""
    schedule = inverse_temperature_schedule(config)

    def loss(progress: float) -> Loss:
        value, info = _reverse_kl(model, target, config.batch_size, config, generator, schedule(progress))
        return Loss(value, info.log_weights, info.n_dropped)

    return main_stage("reverse KL", loss, config, Stateless(generator, target))


def guided_stage(
    model: FlowModel,
    target: BoltzmannTarget,
    guides: Guides,
    config: TrainingConfig,
    generator: torch.Generator,
) -> Stage:
    """Reverse KL, its stiff part also at torsions of all temperatures, and log-dispersion on ``guides``."""
    schedule = inverse_temperature_schedule(config)
    settings = config.guided
    n_conditional = int(settings.conditional_share * config.batch_size) if len(guides.torsions) else 0
    share = n_conditional / config.batch_size
    offset = -guides.log_det - model.coordinates.log_multiplicity

    def loss(progress: float) -> Loss:
        beta = schedule(progress)
        n = config.batch_size - n_conditional
        value, info = _reverse_kl(model, target, n, config, generator, beta)
        n_dropped = info.n_dropped
        if n_conditional:
            torsions = guides.torsions[drawn_rows(len(guides.torsions), n_conditional, generator)]
            stiff, dropped = conditional_reverse_kl(
                model, target, torsions, generator, beta, config.drop_fraction, config.log_cut
            )
            value, n_dropped = (1.0 - share) * value + share * stiff, n_dropped + dropped
        if settings.dispersion_weight:
            chosen = drawn_rows(len(offset), settings.frames, generator)
            level = usual_level(info.log_prob + beta * info.reduced_energies)
            actions = beta * guides.reduced_energies[chosen] + offset[chosen]
            frames = Internal(guides.frames.torsions[chosen], guides.frames.stiff[chosen])
            dispersion = log_dispersion(model, frames, actions, level, settings.dispersion_bound)
            value = value + settings.dispersion_weight * dispersion
        return Loss(value, info.log_weights, n_dropped)

    return main_stage("guided reverse KL", loss, config, Stateless(generator, target))


def walkers_stage(
    model: FlowModel,
    target: BoltzmannTarget,
    walkers: Walkers,
    config: TrainingConfig,
    generator: torch.Generator,
) -> Stage:
    """Reverse KL and, at the same temperature, forward KL on walkers that its samples are proposals for."""
    schedule = inverse_temperature_schedule(config)

    def loss(progress: float) -> Loss:
        beta = schedule(progress)
        walkers.move(config.walkers.steps, target.temperature / beta, generator)
        forward, log_prob = walker_likelihood(model, walkers.positions)
        reverse, info = _reverse_kl(model, target, config.batch_size, config, generator, beta)
        proposals = Proposals(info.positions, info.reduced_energies, info.log_prob)
        walkers.exchange(log_prob, proposals, beta, generator)
        return Loss(reverse + config.walkers.weight * forward, info.log_weights, info.n_dropped)

    return main_stage("walkers", loss, config)


def mass_covering_stage(
    model: FlowModel, target: BoltzmannTarget, config: TrainingConfig, generator: torch.Generator
) -> Stage:
    """The α = 2 bootstrap at the target temperature; ESS and KL are those of its first samples."""
    settings = config.mass_covering
    bootstrap = Bootstrap(model, target, settings.stages, settings.leapfrog)
    buffer = PrioritisedBuffer(settings.particles * settings.buffer_refreshes)
    steps = 0

    def loss(progress: float) -> Loss:
        nonlocal steps
        log_weights, n_dropped = None, 0
        if steps % settings.refresh_every == 0:
            particles = bootstrap.run(settings.particles, generator)
            buffer.add(particles)
            log_weights = particles.model_log_weights
            n_dropped = int((~torch.isfinite(particles.log_weights)).sum())
        steps += 1
        chosen = buffer.draw(config.batch_size, generator)
        log_prob = model.internal_log_prob(buffer.frames_at(chosen))
        old = buffer.log_prob[chosen]
        buffer.update(chosen, log_prob.detach())
        return Loss(bootstrap_loss(log_prob, old, settings.correction_bound), log_weights, n_dropped)

    return Stage("mass covering", 1.0 - config.warmup_share, config.learning_rate, loss)


def annealed_stages(
    model: FlowModel, target: BoltzmannTarget, config: TrainingConfig, generator: torch.Generator
) -> list[Stage]:
    """Reverse KL at the hot temperature, then rounds of forward KL on the model's own reweighted samples.

    A plateau ends neither: the first is not at the target yet, and figures of the second stand still between
    its rounds.
    """
    settings = config.annealed
    rounds = settings.rungs + settings.repeats
    share = 1.0 - config.warmup_share
    current, left = -1, 0
    source, frames, log_weights = model, Internal(torch.empty(0), torch.empty(0)), torch.empty(0)

    def hot(progress: float) -> Loss:
        value, info = _reverse_kl(
            model, target, config.batch_size, config, generator, 1.0 / config.hot_factor
        )
        return Loss(value, info.log_weights, info.n_dropped)

    def cooling(progress: float) -> Loss:
        nonlocal current, left, source, frames, log_weights
        due = min(int(progress * rounds), rounds - 1)
        if due != current:
            current, left, source = due, 0, copy.deepcopy(model)
        if left == 0:
            samples = model_samples(source, target, settings.samples, generator)
            log_weights = samples.log_weights()
            if settings.trust_region:
                chosen = trust_region_step(
                    -samples.reduced_energies,
                    samples.log_prob,
                    settings.max_divergence,
                    settings.max_entropy_loss,
                ).log_weights
            else:
                beta = config.hot_factor ** (min((current + 1) / settings.rungs, 1.0) - 1.0)
                chosen = tempered(samples.log_weights(beta), settings.effective_share)
            frames = resampled(samples.frames, chosen, generator)
            left = max(settings.samples // config.batch_size, 1)
        left -= 1
        loss = negative_log_likelihood(model, batch(frames, config.batch_size, generator))
        return Loss(loss, log_weights)

    return [
        Stage(
            "hot reverse KL",
            share * settings.hot_share,
            config.learning_rate,
            hot,
            steady_from=1.0,
            stateless=Stateless(generator, target),
        ),
        Stage("cooling", share * (1.0 - settings.hot_share), config.learning_rate, cooling, steady_from=1.0),
    ]
