"""AMBER peptides against OpenMM's own path and against openmmtools' benchmark system."""

import numpy as np
import openmm.app
import pytest

from boltzgen.errors import InputError
from boltzgen.forcefields.amber import PROTEIN_XML, SOLVENT_XML, amber_system
from boltzgen.forcefields.parametrise import parametrise
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.peptides import is_sequence
from tests.forcefields.openmm_reference import energies, terms

# openmmtools 0.27.0, AlanineDipeptideImplicit: its starting positions (nm) and its energies by force (kJ/mol)
# from its Amber prmtop, whose parameters are printed with fewer digits than OpenMM's XML.
BENCHMARK_POSITIONS = np.array([
    [0.2000001, 0.1, -0.0000001], [0.2000001, 0.209, 0], [0.1486264, 0.2453849, 0.0889824],
    [0.1486259, 0.2453852, -0.088982], [0.342742, 0.2640795, -0.0000003], [0.439058, 0.1877406, -0.0000007],
    [0.3555375, 0.3969649, -0.0000003], [0.273312, 0.455616, -0.0000001], [0.4853262, 0.4613925, -0.0000004],
    [0.5407596, 0.4315539, 0.0889815], [0.5661304, 0.4220842, -0.1232148], [0.5123262, 0.4521363, -0.2131202],
    [0.6630484, 0.4718935, -0.1205791], [0.580854, 0.3140872, -0.1241385], [0.4712676, 0.6129419, 0.0000001],
    [0.3600645, 0.6652703, 0.0000006], [0.5846053, 0.6834883, 0.0000003], [0.6737001, 0.6359162, 0],
    [0.5846055, 0.8283884, 0.0000006], [0.4818576, 0.8647735, 0.000001], [0.6359798, 0.8647731, 0.0889828],
    [0.635979, 0.8647735, -0.0889819],
])  # fmt: skip
BENCHMARK_TERMS = {
    "HarmonicBondForce": 0.0861833,
    "HarmonicAngleForce": 1.5144003,
    "PeriodicTorsionForce": 8.0563354,
    "NonbondedForce": -97.7455077,
    "CustomGBForce": -50.8810987,
}


def test_alanine_dipeptide_equals_openmmtools():
    system = amber_system(Molecule.from_sequence("ACE-ALA-NME"), "amber96", "obc1")
    assert terms(system, BENCHMARK_POSITIONS) == pytest.approx(BENCHMARK_TERMS, abs=2e-4)


@pytest.mark.parametrize("solvent", ["vacuum", *SOLVENT_XML])
@pytest.mark.parametrize("forcefield", sorted(PROTEIN_XML))
def test_energy_equals_openmm_on_its_own_hydrogens(forcefield, solvent):
    """Heavy atoms are ours; hydrogens, templates and topology OpenMM's."""
    molecule = Molecule.from_sequence("ACE-ASP-ARG-PRO-NME")
    x = molecule.seed_conformers(1, seed=1)[0]
    files = [PROTEIN_XML[forcefield], *([SOLVENT_XML[solvent]] if solvent != "vacuum" else [])]
    field = openmm.app.ForceField(*files)
    modeller = openmm.app.Modeller(molecule.to_openmm_topology(), x)
    modeller.delete([atom for atom in modeller.topology.atoms() if atom.element.symbol == "H"])
    modeller.addHydrogens(field)
    order = _by_parent(modeller.topology)
    ours = _by_parent(molecule.to_openmm_topology())
    assert sorted(order) == sorted(ours)
    permuted = np.empty_like(x)
    for key, indices in order.items():
        permuted[indices] = x[ours[key]]
    expected = energies(field.createSystem(modeller.topology), [permuted])
    np.testing.assert_allclose(
        energies(amber_system(molecule, forcefield, solvent), [x]), expected, rtol=1e-9
    )


def _by_parent(topology):
    """Indices of each heavy atom and its hydrogens by (residue, atom name)."""
    groups = {atom: [atom.index] for atom in topology.atoms() if atom.element.symbol != "H"}
    for first, second in topology.bonds():
        for heavy, other in ((first, second), (second, first)):
            if heavy in groups and other not in groups:
                groups[heavy].append(other.index)
    return {(atom.residue.index, atom.name): indices for atom, indices in groups.items()}


def test_no_constraints_and_no_box():
    system = parametrise(Molecule.from_sequence("ACE-ALA-ALA-NME"), "amber99sbildn", "amber99_obc")
    assert system.getNumConstraints() == 0
    assert not system.usesPeriodicBoundaryConditions()


def test_a_molecule_without_residues_is_refused():
    with pytest.raises(InputError, match="No template found"):
        parametrise(Molecule.from_smiles("CCO"), "ff14sb", "vacuum")


def test_a_typed_solvent_belongs_to_its_force_field():
    with pytest.raises(InputError, match="amber99_obc"):
        parametrise(Molecule.from_sequence("ACE-ALA-NME"), "ff14sb", "amber99_obc")


def test_a_heavy_atom_file_without_a_template_is_refused(tmp_path):
    """A backbone without its side chain and without hydrogens: nothing that OpenMM could complete."""
    molecule = Molecule.from_sequence("ACE-ALA-NME")
    modeller = openmm.app.Modeller(molecule.to_openmm_topology(), molecule.seed_conformers(1)[0])
    modeller.delete([a for a in modeller.topology.atoms() if a.name == "CB" or a.element.symbol == "H"])
    with (tmp_path / "heavy.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(modeller.topology, modeller.positions, file)
    with pytest.raises(InputError, match=r"heavy\.pdb.* hydrogens"):
        Molecule.from_file(tmp_path / "heavy.pdb")


@pytest.mark.parametrize(
    ("text", "sequence"), [("CCC-CCC", False), ("CCO-CCN", False), ("ACE-XYZ-NME", True), ("XYZ-HIS", True)]
)
def test_a_sequence_has_a_residue_that_is_known(text, sequence):
    assert is_sequence(text) is sequence
