"""The benchmark of energies times whole processes."""

import time


def test_first_energy_is_timed_from_the_start_of_the_process(script, monkeypatch):
    """A process that takes long before it measures anything itself."""

    def slow(*_, **__):
        time.sleep(0.2)
        return [0.01]

    benchmark = script("energies")
    monkeypatch.setattr(benchmark, "probe", slow)
    found = benchmark.first_energy()
    assert found["first_energy_cold_seconds"] >= 0.2
    assert found["compilation_cold_seconds"] == 0.01
