"""Nested states of tensors, numbers and text in one safetensors file with a checksum, and without pickle.

The tensors are stored under the path of their keys, so that any reader of safetensors finds them; the rest
is JSON in the file's metadata, beside the SHA-256 of all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.files.whole import write_whole

_TENSOR, _PAIRS, _TUPLE = "__tensor__", "__pairs__", "__tuple__"


def save_tensors(path: Path, content: Mapping[str, Any], kind: str) -> None:
    """Write ``content`` to ``path``, whole or not at all.

    Parameters
    ----------
    path
        The file; an earlier one is replaced.
    content
        Dictionaries, lists and tuples of tensors, numbers, text, booleans and None. Keys are text or
        integers.
    kind
        What the file is, and of which version, like ``"boltzgen checkpoint 2"``.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written to.
    TypeError
        ``content`` holds something else.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_packed(content, "", tensors))
    metadata = {"kind": kind, "content": tree, "sha256": _digest(kind, tree, tensors)}
    data = save(
        tensors, metadata
    )  # in memory: the library's own writing hides the error number of a full disk
    write_whole(path, lambda partial: partial.write_bytes(data))


def load_tensors(path: Path, kind: str) -> dict[str, Any]:
    """The content that ``save_tensors`` wrote to ``path``, its tensors on the CPU.

    Raises
    ------
    InputError
        The file cannot be read, is of another kind or version, or its content does not match its checksum.
    """
    try:
        data = path.read_bytes()  # a mapped file would end the process where somebody shortens it later
        tensors = load(data)
        metadata = _metadata(data)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a {_noun(kind)} ({error}).") from error
    if metadata.get("kind") != kind:
        found = metadata.get("kind", "of unknown origin")
        raise InputError(f"{path} is {found}, not a {kind}: give a file of this version.")
    tree = metadata.get("content", "")
    if metadata.get("sha256") != _digest(kind, tree, tensors):
        raise InputError(
            f"{path} is damaged, as its checksum does not match its content: restore it or run again."
        )
    return _unpacked(json.loads(tree), tensors)


def _packed(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON has it; its tensors go to ``tensors``, each under its path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()  # a copy: none may share memory
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        pairs = [
            (key, _packed(item, f"{path}/{key}" if path else str(key), tensors))
            for key, item in value.items()
        ]
        if all(isinstance(key, str) for key, _ in pairs):
            return dict(pairs)
        return {_PAIRS: pairs}
    if isinstance(value, list | tuple):
        items = [_packed(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"'{path}' is a {type(value).__name__}: give tensors, numbers and text alone.")


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _PAIRS in value:
        return {key: _unpacked(item, tensors) for key, item in value[_PAIRS]}
    if _TUPLE in value:
        return tuple(_unpacked(item, tensors) for item in value[_TUPLE])
    return {key: _unpacked(item, tensors) for key, item in value.items()}


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, which begins with the length of its header and the header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _digest(kind: str, tree: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(f"{kind}\n{tree}".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _noun(kind: str) -> str:
    return kind.rsplit(" ", 1)[0]
