"""What differs between the CPU and a device that works beside it."""

import torch


def costs_a_wait(device: torch.device) -> bool:
    """Whether the host has to wait for ``device`` to read a number from it.

    The host hands an accelerator work ahead of time; to read a result it must wait until all of that is done.
    Loops therefore look at results seldom there, and at once on the CPU.
    """
    return device.type != "cpu"


def chunk_size(device: torch.device, on_cpu: int) -> int:
    """Samples to work on at once: ``on_cpu`` there; on an accelerator more, so that all of it is busy."""
    return 16 * on_cpu if costs_a_wait(device) else on_cpu
