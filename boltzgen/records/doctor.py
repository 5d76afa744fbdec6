"""What ``boltzgen doctor --json`` prints."""

from __future__ import annotations

from typing import Literal

from boltzgen.records.record import Real, Record


class EnergyCheck(Record):
    """An energy, by machine code if ``compiled``; its largest deviation from OpenMM among some conformers."""

    molecule: str
    forcefield: str
    solvent: str
    compiled: bool
    deviation_kJ_mol: Real
    seconds: float
    passed: bool


class DoctorSummary(Record):
    """What an installation has. compiler: path, None without one. compilation: False by BOLTZGEN_COMPILE=0.

    cores: that this process may use. threads: of torch. extras: whether the packages of each are there.
    """

    kind: Literal["doctor"] = "doctor"
    versions: dict[str, str]
    system: str
    devices: list[str]
    cores: int
    threads: int
    compiler: str | None
    compilation: bool
    cache_folder: str
    openmm_platforms: list[str]
    extras: dict[str, bool]
    energies: list[EnergyCheck]
    healthy: bool
