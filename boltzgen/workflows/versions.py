"""What a run was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version

import boltzgen

PACKAGES = ("torch", "openmm", "rdkit", "numpy", "mdtraj")


def package_versions() -> dict[str, str]:
    """Versions of Python, boltzgen and what decides its numbers; "unknown" where none is recorded."""
    found = {"python": platform.python_version(), "boltzgen": boltzgen.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
