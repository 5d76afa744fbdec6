"""Shared by tests that feed damaged input: how files are damaged, and what a refusal looks like."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from boltzgen.errors import InputError

Read = TypeVar("Read")


def fuzz(examples: int) -> settings:
    """The same ``examples`` in every run."""
    return settings(max_examples=examples, deadline=None, derandomize=True)


def read_or_refused(read: Callable[[], Read]) -> Read | None:
    """What ``read`` returns; None where it is refused with one sentence. Other exceptions pass."""
    try:
        return read()
    except InputError as error:
        sentence = str(error)
    assert sentence.strip()
    assert "\n" not in sentence
    return None


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """``content`` cut short, with some bytes changed or a part repeated or lost, or noise instead."""
    kind = draw(st.sampled_from(("cut", "bytes", "bit", "repeated", "lost", "noise", "noise after", "empty")))
    if kind == "noise":
        return draw(st.binary(min_size=1, max_size=200))
    if kind == "empty":
        return b""
    if kind == "noise after":
        return content + draw(st.binary(min_size=1, max_size=50))
    place = draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        return content[:place]
    if kind == "bit":
        changed = bytearray(content)
        changed[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(changed)
    if kind == "bytes":
        new = draw(st.binary(min_size=1, max_size=8))
        return content[:place] + new + content[place + len(new) :]
    end = min(place + draw(st.integers(1, 100)), len(content))
    return content[:place] + (content[place:end] * 2 if kind == "repeated" else b"") + content[end:]
