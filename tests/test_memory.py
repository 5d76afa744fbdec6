"""Where memory is short a run ends in a sentence, and samples are drawn in smaller chunks first."""

import errno
import os
import subprocess
import sys

import pytest
import torch

from boltzgen.memory import is_shortage, usable_bytes

# The limit is set when everything is loaded, so that it is met in the run and not by the loader of libraries.
LIMITED = """
import re, resource, sys
from pathlib import Path
import torch, rdkit.Chem, openmm.app, mdtraj, scipy.spatial, boltzgen.workflows.sample
from boltzgen.cli import main
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv.pop()), resource.RLIM_INFINITY))
main()
"""


def test_what_allocators_say_is_told_from_other_failures():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50, dtype=torch.float64)
    assert is_shortage(raised.value)
    with pytest.raises(MemoryError) as raised_too:
        bytearray(2**60)
    assert is_shortage(raised_too.value)
    assert is_shortage(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_shortage(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert usable_bytes() is None or usable_bytes() > 2**28


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_a_run_without_memory_ends_in_a_sentence():
    command = [sys.executable, "-c", LIMITED, "sample", "CCCC", "--steps", "10", "10_000_000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # threads need stacks: OpenMP ends the process
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "there is too little memory for this run: give fewer samples" in ended.stderr.splitlines()[-1]
