"""One thread where several are held up, as many as were given where they pay, and as before afterwards."""

import pytest
import torch

from boltzgen import threads


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "inside"), [(0.4, 3), (0.9, 1), (30.0, 1)])
def test_threads_are_kept_where_they_are_faster(monkeypatch, three_threads, seconds, inside):
    """``seconds``: of an operation with several threads; one thread takes a second."""
    now = 0.0

    def operation(x: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += 1.0 if torch.get_num_threads() == 1 else seconds
        return x

    monkeypatch.setattr(threads, "_operation", operation)
    monkeypatch.setattr(threads.time, "monotonic", lambda: now)
    with threads.paying_threads():
        assert torch.get_num_threads() == inside
        assert threads.given_threads() == 3
    assert torch.get_num_threads() == 3
    with threads.paying_threads(adapt=False):
        assert torch.get_num_threads() == 3


def test_a_fault_leaves_the_number_of_threads(monkeypatch, three_threads):
    monkeypatch.setattr(threads, "_pay", lambda given: False)
    inside = []

    def fail() -> None:
        with threads.paying_threads():
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [1]
    assert torch.get_num_threads() == 3
