"""The plan of a run names what will be sampled and what will be kept."""

from collections import Counter

from boltzgen.sampling.frames import FramesConfig
from boltzgen.workflows.config import SampleConfig
from boltzgen.workflows.plan import plan

SHORT = FramesConfig(ladders=16, picoseconds=2.0, walkers=64, local_picoseconds=2.0)


def test_ibuprofens_torsions_rotors_ring_and_stereocentre_are_named():
    planned = plan(SampleConfig(molecule="CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", frames=SHORT))
    kinds = Counter(feature.kind for feature in planned.features)
    assert planned.degrees_of_freedom == 3 * 33 - 6
    assert planned.symmetry_multiplicity == 3**3 * 2  # three methyls, one phenylene
    assert kinds["torsion"] + kinds["rotor"] + kinds["ester"] == planned.n_soft_torsions == 8
    assert kinds["ring"] == kinds["handedness"] == 1
    (ring,) = (feature.where for feature in planned.features if feature.kind == "ring")
    assert ring == "C5 C6 C7 C8 C9 C10"
    assert planned.warnings == []


def test_a_macrocycle_is_warned_of():
    planned = plan(SampleConfig(molecule="C1CCCCCCCC1", frames=SHORT))
    (warning,) = planned.warnings
    assert warning.startswith("ring of 9 atoms")
