"""The network of a critic, discriminator or classifier of domains: features to one number."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class CriticNetwork(nn.Module):
    """Perceptron of ``depth`` hidden layers. With ``clip`` its parameters act as if within ±``clip``.

    It starts flat: under a gradient penalty a slope of the wrong sign would have to cross a barrier at zero.
    """

    def __init__(self, n_features: int, hidden: int, depth: int, clip: float | None = None) -> None:
        super().__init__()
        self.clip = clip
        sizes = [n_features] + depth * [hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        hidden = features
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            affine = nn.functional.linear(hidden, self._bounded(layer.weight), self._bounded(layer.bias))
            hidden = nn.functional.silu(affine)
        return hidden @ self._bounded(self.last.weight)[0]

    def _bounded(self, value: Tensor) -> Tensor:
        return value if self.clip is None else value.clamp(-self.clip, self.clip)
