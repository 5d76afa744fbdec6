"""Which torch operations a piece of code dispatches, and at which of them it would wait for a GPU.

An operation whose result the host reads, or whose result's shape depends on data, makes the host wait until
the device has come so far. On a CPU nothing waits, and the same operations are seen: whether a training step
waits can be told without a GPU.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "aten::_local_scalar_dense",  # item(), float(), int(), bool(), tolist()
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::equal",
    "aten::repeat_interleave",
}
MASKED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class Waits(TorchDispatchMode):
    """Counts what is dispatched while it is entered.

    Attributes
    ----------
    operations
        How many operations were dispatched: about as many kernels a GPU would launch.
    waits
        How often each operation was dispatched at which the host would wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.waits = 0, Counter[str]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.operations += 1
        name = func.name().partition(".")[0]
        if name in WAITING or (name in MASKED and _has_mask(args[1])):
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in indices)
