"""Lists of molecules as people write them: a SMILES and a name per line. Shared by the benchmarks here."""

from pathlib import Path


def read_molecules(path: Path) -> dict[str, str]:
    """SMILES by name from lines "SMILES name"; without a name the SMILES is it; # starts a comment line."""
    molecules: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"'{path}' cannot be read as a list of molecules: {error}") from error
    for line in lines:
        smiles, *rest = line.split(maxsplit=1) or ["#"]
        if not smiles.startswith("#"):
            label = name = rest[0].strip() if rest else smiles
            copy = 2
            while name in molecules:
                name, copy = f"{label} {copy}", copy + 1
            molecules[name] = smiles
    if not molecules:
        raise SystemExit(f"'{path}' names no molecule: write a SMILES and a name on each line")
    return molecules
