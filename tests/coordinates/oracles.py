"""Oracles that share no code with boltzgen.coordinates: autograd determinants, closed-form rigid motion."""

import torch
from torch import Tensor


def log_det_by_autograd(positions, n: int, q: Tensor) -> Tensor:
    """ln |∂x_int/∂q| of a map q [k] -> positions [atoms, 3] with rigid motion fixed by the map: [] float64.

    Completes the map by rigid motion, x' = R(a, b, c) x + t with R = exp of the antisymmetric matrix, and
    divides the full 3n × 3n determinant by the density of rotations, 1 at R = 1 in this parametrisation.
    """

    def moved(parameters: Tensor) -> Tensor:
        internal, rotation, shift = parameters.split([len(q), n_rotations, 3])
        zero = torch.zeros((), dtype=q.dtype)
        a, b, c = (list(rotation) + [zero] * (3 - n_rotations))[:3]
        generator = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).reshape(3, 3)
        return (positions(internal) @ torch.linalg.matrix_exp(generator).T + shift).reshape(-1)

    n_rotations = {1: 0, 2: 2}.get(n, 3)
    start = torch.cat([q, torch.zeros(n_rotations + 3, dtype=q.dtype)])
    jacobian = torch.autograd.functional.jacobian(moved, start)
    return torch.linalg.slogdet(jacobian)[1]


def superposed_deviation(x: Tensor, y: Tensor) -> Tensor:
    """Largest distance [n] between atoms of x and y [n, atoms, 3] after proper superposition (Kabsch
    1976)."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    u, _, vt = torch.linalg.svd(x.transpose(1, 2) @ y)
    sign = torch.linalg.det(u @ vt)
    flip = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    return (x @ (u @ flip @ vt) - y).norm(dim=-1).amax(1)
