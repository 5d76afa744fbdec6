"""Which executor a stage gets."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import nn

from boltzgen.cores import usable_cores
from boltzgen.energies.bridge.term import BridgeTerm
from boltzgen.errors import InputError
from boltzgen.objectives.objective import Objective
from boltzgen.threads import given_threads
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.alone import Alone
from boltzgen.training.executors.distributed import Distributed, is_joined
from boltzgen.training.executors.executor import Executor
from boltzgen.training.executors.forked import Forked
from boltzgen.training.executors.recorded import Recorded
from boltzgen.training.executors.spawned import Spawned, can_be_sent

MOST_PROCESSES = 8  # unless more are asked for


def executor_for(
    objective: Objective, parameters: Sequence[nn.Parameter], config: TrainingConfig
) -> Executor:
    """One process where the objective keeps anything between steps, or what ``n_processes`` says.

    Raises
    ------
    InputError
        Where several processes are asked for and this model or machine cannot have them, and where a CUDA
        graph is asked for without a GPU.
    """
    asked = config.processes
    if is_joined():
        if asked is not None and asked > 1:
            raise InputError("torchrun starts the processes of a training; leave 'processes' out.")
        together = objective.is_stateless and can_be_sent(objective)
        return Distributed(objective, parameters) if together else Alone(objective, parameters)
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    if asked is not None and asked > 1 and not on_cpu:
        raise InputError(
            f"Training in {asked} processes is for the CPU; give --device cpu, or leave 'processes' out."
        )
    if config.cuda_graph:
        if not all(parameter.device.type == "cuda" for parameter in parameters):
            raise InputError("A CUDA graph needs a GPU; give --device cuda, or leave 'cuda_graph' out.")
        return Recorded(objective, parameters) if objective.is_stateless else Alone(objective, parameters)
    n = n_processes(objective, config) if on_cpu and objective.is_stateless else 1
    if n == 1:
        return Alone(objective, parameters)
    if sys.platform == "linux" and not torch.accelerator.is_available():
        return Forked(objective, parameters, n)
    if can_be_sent(objective):
        return Spawned(objective, parameters, n)
    if asked is None:
        return Alone(objective, parameters)
    raise InputError(
        f"Training in {asked} processes needs a model and a loss that other processes can import; define them"
        " in a module of their own, or leave 'processes' out."
    )


def n_processes(objective: Objective, config: TrainingConfig) -> int:
    """How many processes share the batches of ``objective`` on the CPU.

    ``config.processes``, or else as many as torch has threads and this process has cores where time is the
    limit; with a fixed number of steps one, as a run is then to come out the same on every machine. Energies
    of OpenMM itself have worker processes already.
    """
    if config.processes is not None:
        return config.processes
    cores = min(usable_cores(), given_threads(), MOST_PROCESSES)
    if config.max_steps is not None or cores == 1:
        return 1
    target = objective.target
    bridged = target is not None and any(isinstance(t, BridgeTerm) for t in target.energy.terms.values())
    return 1 if bridged else cores
