"""What ``boltzgen doctor`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boltzgen.records.doctor import DoctorSummary


def print_doctor(console: Console, found: DoctorSummary) -> None:
    """One line for each thing that is there or missing, and for each energy."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    missing = "none found: energies and flows run uncompiled, many times slower"
    compiler = found.compiler or missing
    for name, value in (
        ("versions", ", ".join(f"{name} {version}" for name, version in found.versions.items())),
        ("system", found.system),
        ("devices", ", ".join(found.devices)),
        ("cores and threads", f"{found.cores} cores may be used, torch has {found.threads} threads"),
        (
            "C++ compiler",
            compiler if found.compilation else f"{compiler}; not used, since BOLTZGEN_COMPILE=0",
        ),
        ("compiled code", found.cache_folder),
        ("OpenMM's platforms", ", ".join(found.openmm_platforms)),
        ("extras", ", ".join(name for name, there in found.extras.items() if there) or "none"),
        (
            "extras not installed",
            ", ".join(name for name, there in found.extras.items() if not there) or "none",
        ),
    ):
        table.add_row(name, escape(value))
    for check in found.energies:
        verdict = "equal to OpenMM's" if check.passed else "NOT equal to OpenMM's"
        table.add_row(
            "energy by machine code" if check.compiled else "energy by torch operations",
            escape(
                f"{verdict}: {check.molecule}, {check.forcefield}, {check.solvent}; deviation"
                f" {check.deviation_kJ_mol:.1e} kJ/mol"
            ),
        )
    console.print(table)
    if found.healthy:
        console.print("This installation works.")
    else:
        console.print("This installation computes wrong energies: install it anew.", style="bold red")
