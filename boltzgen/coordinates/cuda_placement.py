"""CUDA kernels of the placement of atoms and of its gradient: a thread a conformation, atom after atom.

They compute what ``placement._Place`` does level by level of the tree. One kernel stands where some hundred
torch operations would be launched.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from boltzgen.codegen.cpp_prelude import SCALARS
from boltzgen.codegen.cuda_module import Module, load_module
from boltzgen.codegen.cuda_prelude import prelude
from boltzgen.codegen.nvrtc import can_compile_cuda

_THREADS = 64  # of a block: conformations are few, multiprocessors many
_KERNELS = r"""
struct Vector { T x, y, z; };
INLINE Vector load(const T* rows, int atom, int n, int64_t batch) {
  return {rows[atom * batch], rows[(n + atom) * batch], rows[(2 * n + atom) * batch]};
}
INLINE void store(Vector v, T* rows, int atom, int n, int64_t batch) {
  rows[atom * batch] = v.x;
  rows[(n + atom) * batch] = v.y;
  rows[(2 * n + atom) * batch] = v.z;
}
INLINE Vector sum(Vector a, Vector b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
INLINE Vector times(T s, Vector a) { return {s * a.x, s * a.y, s * a.z}; }
INLINE T dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
INLINE Vector cross(Vector a, Vector b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
INLINE Vector combined(Vector c, Vector e1, Vector e2, Vector e3) {
  return sum(sum(times(c.x, e1), times(c.y, e2)), times(c.z, e3));
}

// `tree` [3, n]: the molecule's atom, the parent and whether it is in line, of each atom of the tree.
// x and each of the three frames are [3, n, batch] in the order of the tree; positions in the molecule's.
extern "C" __global__ void place(int n, int64_t batch, const int* tree, const T* bonds, const T* polar, T* x,
                                 T* frames, T* positions) {
  const int64_t sample = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (sample >= batch) return;
  const int *order = tree, *parent = tree + n, *linear = tree + 2 * n;
  const int64_t apart = 3 * n * batch;
  bonds += sample; polar += sample; x += sample; frames += sample; positions += sample;
  for (int k = 0; k < n; ++k) {
    Vector e1 = {T(1), T(0), T(0)}, e2 = {T(0), T(1), T(0)}, e3 = {T(0), T(0), T(1)}, r = {T(0), T(0), T(0)};
    if (k == 1) {
      e2.y = T(-1);
      e3.z = T(-1);
      r.z = -bonds[0];
    }
    if (k > 1) {
      const T a = polar[(k - 2) * batch], b = polar[(n - 2 + k - 2) * batch];
      Vector direction, first;
      if (linear[k]) {
        const T square = a * a + b * b, scale = T(1) + square;
        direction = {T(2) * a / scale, T(2) * b / scale, (T(1) - square) / scale};
        first = {T(1) - a * direction.x, -a * direction.y, -a * (T(1) + direction.z)};
      } else {
        const T sin_a = sin_(a), cos_a = cos_(a), sin_b = sin_(b), cos_b = cos_(b);
        direction = {sin_a * cos_b, sin_a * sin_b, -cos_a};
        first = {-cos_a * cos_b, -cos_a * sin_b, -sin_a};
      }
      const int before = parent[k];
      const Vector p1 = load(frames, before, n, batch), p2 = load(frames + apart, before, n, batch);
      const Vector p3 = load(frames + 2 * apart, before, n, batch);
      e3 = combined(direction, p1, p2, p3);
      e1 = combined(first, p1, p2, p3);
      e2 = cross(e3, e1);
      r = sum(load(x, before, n, batch), times(bonds[(k - 1) * batch], e3));
    }
    store(e1, frames, k, n, batch);
    store(e2, frames + apart, k, n, batch);
    store(e3, frames + 2 * apart, k, n, batch);
    store(r, x, k, n, batch);
    store(r, positions, order[k], n, batch);
  }
}

// Forces and torques of branches are gathered in `force` and `torque` [3, n, batch], from the leaves.
extern "C" __global__ void place_gradient(int n, int64_t batch, const int* tree, const T* polar, const T* x,
                                          const T* frames, const T* gradient, T* force, T* torque,
                                          T* by_bonds, T* by_polar) {
  const int64_t sample = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (sample >= batch) return;
  const int *order = tree, *parent = tree + n, *linear = tree + 2 * n;
  const int64_t apart = 3 * n * batch;
  polar += sample; x += sample; frames += sample; gradient += sample; force += sample; torque += sample;
  by_bonds += sample; by_polar += sample;
  for (int k = 0; k < n; ++k) {
    const Vector g = load(gradient, order[k], n, batch);
    store(g, force, k, n, batch);
    store(cross(load(x, k, n, batch), g), torque, k, n, batch);
  }
  for (int k = n - 1; k > 0; --k) {
    const int before = parent[k];
    const Vector f = load(force, k, n, batch), m = load(torque, k, n, batch);
    store(sum(load(force, before, n, batch), f), force, before, n, batch);
    store(sum(load(torque, before, n, batch), m), torque, before, n, batch);
    by_bonds[(k - 1) * batch] = dot(f, load(frames + 2 * apart, k, n, batch));
    if (k < 2) continue;
    const Vector about = sum(m, times(T(-1), cross(load(x, before, n, batch), f)));
    T by_a = -dot(load(frames + apart, k, n, batch), about);
    T by_b = dot(load(frames + 2 * apart, before, n, batch), about);
    if (linear[k]) {
      const T a = polar[(k - 2) * batch], b = polar[(n - 2 + k - 2) * batch];
      const T first = dot(load(frames, before, n, batch), about);
      const T second = dot(load(frames + apart, before, n, batch), about);
      const T scale = T(2) / (T(1) + a * a + b * b);
      by_a = scale * (second - b * by_b);
      by_b = scale * (a * by_b - first);
    }
    by_polar[(k - 2) * batch] = by_a;
    by_polar[(n - 2 + k - 2) * batch] = by_b;
  }
}
"""


def placement_source(dtype: torch.dtype) -> str:
    """The kernels above for this precision."""
    return prelude(dtype) + _KERNELS


def serves(x: Tensor) -> bool:
    """Whether the kernels take coordinates of this device and precision."""
    return x.device.type == "cuda" and torch.version.hip is None and x.dtype in SCALARS and can_compile_cuda()


@cache
def _module(dtype: torch.dtype, device: torch.device) -> Module:
    return load_module(placement_source(dtype), device)


def place(bonds: Tensor, polar: Tensor, tree: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [3, atoms, batch] in the molecule's order and in the tree's; frames [3, 3, atoms, batch].

    ``tree`` is int32 [3, atoms], see ``Placement.table``.
    """
    bonds, polar = bonds.contiguous(), polar.contiguous()
    n, batch = tree.shape[1], polar.shape[-1]
    x, positions = polar.new_empty(3, n, batch), polar.new_empty(3, n, batch)
    frames = polar.new_empty(3, 3, n, batch)
    if batch:
        given = (n, ctypes.c_int64(batch), tree, bonds, polar, x, frames, positions)
        _module(polar.dtype, polar.device).launch("place", -(-batch // _THREADS), (_THREADS, 1), 0, given)
    return positions, x, frames


def place_gradient(
    gradient: Tensor, polar: Tensor, tree: Tensor, x: Tensor, frames: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients by bonds and polar coordinates from that by the positions."""
    gradient, polar = gradient.contiguous(), polar.contiguous()
    n, batch = tree.shape[1], polar.shape[-1]
    force, torque = torch.empty_like(x), torch.empty_like(x)
    by_bonds, by_polar = polar.new_empty(max(n - 1, 0), batch), torch.empty_like(polar)
    if batch:
        results = (force, torque, by_bonds, by_polar)
        given = (n, ctypes.c_int64(batch), tree, polar, x, frames, gradient, *results)
        module = _module(polar.dtype, polar.device)
        module.launch("place_gradient", -(-batch // _THREADS), (_THREADS, 1), 0, given)
    return by_bonds, by_polar
