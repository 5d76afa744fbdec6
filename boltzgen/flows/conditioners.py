"""Networks that turn what a coupling keeps into the parameters of what it moves."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boltzgen.flows.transforms import perceptron, torsion_features


class Conditioner(nn.Module):
    """Residual perceptron whose last layer starts at zero, so that a new flow is the identity.

    With no input features it is a learned constant: a marginal transform.
    """

    def __init__(self, n_inputs: int, n_outputs: int, hidden: int, depth: int = 2) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        if n_inputs:
            self.first = nn.Linear(n_inputs, hidden)
            self.blocks = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth - 1))
            self.last = nn.Linear(hidden, n_outputs, bias=False)
            nn.init.zeros_(self.last.weight)

    def forward(self, features: Float[Tensor, "batch inputs"]) -> Float[Tensor, "outputs shared"]:
        """Outputs batch last; of length one there where they are the same for the whole batch."""
        if not self.n_inputs:
            return self.bias[:, None]
        return perceptron(features, self.network(), self.last.weight, self.bias)

    def network(self) -> list[Tensor]:
        """Weight and bias of each hidden layer, in turn."""
        layers = [self.first, *self.blocks]
        return [parameter for layer in layers for parameter in (layer.weight, layer.bias)]


class TorsionFeatures(nn.Module):
    """Circle variables as numbers that a network can use.

    Cosine and sine of τ are smooth across its seam. With ``physical``, an n-fold rotor adds sin(τ/n):
    relabelling it turns it by 2π/n and permutes its substituents' stiff coordinates, so what depends on
    those is not periodic in τ but jumps at the seam of the rotor's domain, as sin(τ/n) does.
    """

    folded: Tensor
    fold: Tensor

    def __init__(self, folds: Tensor, physical: bool) -> None:
        super().__init__()
        folded = torch.nonzero(folds > 1).flatten() if physical else folds.new_zeros(0)
        self.register_buffer("folded", folded, persistent=False)
        self.register_buffer("fold", folds[folded].to(torch.get_default_dtype()), persistent=False)
        self.n_features = 2 * len(folds) + len(folded)

    def forward(self, torsions: Float[Tensor, "batch torsions"]) -> Float[Tensor, "batch features"]:
        return torsion_features(torsions, self.folded, self.fold)
