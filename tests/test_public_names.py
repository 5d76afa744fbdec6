"""What ``import boltzgen`` offers, and that it costs and changes nothing until it is used."""

import subprocess
import sys

import boltzgen

FIRST_USE = """
import sys
import boltzgen
assert "torch" not in sys.modules and "numpy" not in sys.modules and "rdkit" not in sys.modules
import torch
before = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed()
boltzgen.sample
after = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed()
assert before == after, (before, after)
slow = {"matplotlib", "scipy.interpolate", "scipy.stats", "ot", "mdtraj"} & set(sys.modules)
assert not slow, slow
"""


def test_every_public_name_is_there_and_listed():
    assert set(boltzgen.__all__) < set(dir(boltzgen))
    for name in boltzgen.__all__:
        assert getattr(boltzgen, name) is not None
    assert issubclass(boltzgen.InputError, ValueError)
    assert {"EvaluationError", "NotConvergedError", "SampleConfig", "Problem", "FAMILIES"} <= set(
        dir(boltzgen)
    )


def test_importing_changes_nothing_and_loads_pictures_and_tables_only_when_needed():
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True)
