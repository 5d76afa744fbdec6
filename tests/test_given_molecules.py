"""One molecule through every way in: the same atoms, stereo and energies; and what does not fit, by name."""

import numpy as np
import openmm
import openmm.app
import pytest
from openmm import unit
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom

import boltzgen
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.sampling.frames import FramesConfig
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows.config import read_config, sample_config
from boltzgen.workflows.energy import conformer_energies
from boltzgen.workflows.sample import run_sample
from tests.forcefields.openmm_reference import energies

SMALL = {
    "n": 60,
    "frames": FramesConfig(ladders=2, picoseconds=0.1, walkers=32, local_picoseconds=0.1),
    "training": TrainingConfig(max_steps=4, batch_size=64),
    "refine": "off",
}
# An amino acid with a proton to place, an alkene beside a centre, a charged ring: no usual test molecules.
SMILES = ["C[C@H](S)C(=O)NC", "F/C=C/[C@@H](C)O", "OC[C@@H]1CCC[NH2+]1"]


def embedded(smiles: str, n: int = 3) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMultipleConfs(mol, n, randomSeed=11)
    return mol


def conformers(mol: Chem.Mol) -> np.ndarray:
    """[n, atoms, 3] Å."""
    return np.array([conformer.GetPositions() for conformer in mol.GetConformers()])


def in_other_order(mol: Chem.Mol) -> Chem.Mol:
    """Hydrogens before the atoms that bear them, as no SMILES has them."""
    return Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])


@pytest.mark.parametrize("smiles", SMILES)
def test_one_molecule_has_one_energy_through_every_way_in(smiles, tmp_path):
    mol = in_other_order(embedded(smiles))
    angstrom = conformers(mol)
    system = load_system(mol)
    topology = system.molecule.to_openmm_topology()
    with Chem.SDWriter(str(tmp_path / "given.sdf")) as writer:
        writer.write(mol)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system.system))
    ways = {
        "Mol": system,
        "Molecule": load_system(Molecule.from_rdkit(mol)),
        "MolecularSystem": load_system(system),
        "file": load_system(tmp_path / "given.sdf"),
        "Mol with system.xml": load_system(mol, str(tmp_path / "system.xml")),
        "OpenMM pair": load_system((topology, system.system), positions=angstrom[0] * unit.angstrom),
        "OpenMM pair in nm": load_system((topology, system.system), positions=0.1 * angstrom),
        "Mol and OpenMM system": load_system((mol, system.system)),
    }
    theirs = energies(system.system, 0.1 * angstrom)
    for way, found in ways.items():
        assert found.molecule.smiles == Chem.CanonSmiles(smiles), way
        assert [a.GetSymbol() for a in found.molecule.rdmol.GetAtoms()] == [
            a.GetSymbol() for a in mol.GetAtoms()
        ], way
        ours = conformer_energies(found, angstrom * unit.angstrom).total
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=1e-9 * max(1.0, np.abs(theirs).max()), err_msg=way
        )


def test_a_smiles_and_its_mol_are_the_same_system():
    smiles = load_system("CC(=O)Nc1ccncc1")
    mol = load_system(Chem.AddHs(Chem.MolFromSmiles("CC(=O)Nc1ccncc1")))
    x = smiles.molecule.seed_conformers(2)
    np.testing.assert_array_equal(energies(mol.system, x), energies(smiles.system, x))


def test_conformers_of_a_mol_are_the_first_seeds():
    mol = embedded("C[C@H](S)C(=O)NC")
    seeds = Molecule.from_rdkit(mol).seed_conformers(3, minimise=False)
    np.testing.assert_allclose(seeds, 0.1 * conformers(mol), rtol=0, atol=1e-12)


def test_stereo_of_a_mol_is_that_of_its_labels_or_else_of_its_conformers():
    labelled = Chem.AddHs(Chem.MolFromSmiles("C[C@H](F)Cl"))
    assert Molecule.from_rdkit(labelled).smiles == Chem.CanonSmiles("C[C@H](F)Cl")
    placed = embedded("C[C@H](F)Cl")
    Chem.RemoveStereochemistry(placed)
    assert Molecule.from_rdkit(placed).smiles == Chem.CanonSmiles("C[C@H](F)Cl")
    mirrored = embedded("C[C@H](F)Cl")
    for conformer in mirrored.GetConformers():
        conformer.SetPositions(conformer.GetPositions() * [-1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="another stereoisomer than its labels"):
        Molecule.from_rdkit(mirrored)
    flat = Chem.AddHs(Chem.MolFromSmiles("CC(F)Cl"))
    rdDepictor.Compute2DCoords(flat)
    with pytest.raises(InputError, match="leaves stereo open"):
        Molecule.from_rdkit(flat)


def test_a_given_mol_is_left_as_it_is():
    mol = embedded("C[C@H](S)C(=O)NC")
    mol.SetProp("_Name", "thio")
    before = mol.ToBinary()
    assert Molecule.from_rdkit(mol).name == "thio"
    assert mol.ToBinary() == before


def test_hydrogens_are_refused_or_added_as_asked():
    bare = Chem.MolFromSmiles("CCO")
    with pytest.raises(InputError, match="lacks 6 of its hydrogens"):
        load_system(bare)
    assert load_system(bare, add_hydrogens=True).molecule.n_atoms == 9


def test_a_peptide_keeps_its_residues_and_its_force_field():
    molecule = Molecule.from_sequence("ACE-GLY-NME")
    assert load_system(molecule.rdmol).forcefield == "ff14sb"
    x = molecule.seed_conformers(1)
    built = load_system(molecule)
    pair = load_system((molecule.to_openmm_topology(), built.system), positions=x)
    assert pair.molecule.rdmol.GetAtomWithIdx(0).GetPDBResidueInfo().GetResidueName() == "ACE"
    np.testing.assert_array_equal(energies(pair.system, x), energies(built.system, x))


def ethanol_pair() -> tuple[openmm.app.Topology, openmm.System, np.ndarray]:
    system = load_system("CCO")
    return system.molecule.to_openmm_topology(), system.system, system.molecule.seed_conformers(1)[0]


def test_openmm_pairs_that_do_not_fit_are_refused_by_name():
    topology, system, x = ethanol_pair()
    with pytest.raises(InputError, match="has no positions"):
        load_system((topology, system))
    with pytest.raises(InputError, match=r"9 atoms, but the positions have the shape \[1, 8, 3\]"):
        load_system((topology, system), positions=x[:8])
    with pytest.raises(InputError, match="plain numbers are nm"):
        load_system((topology, system), positions=10 * x)
    with pytest.raises(InputError, match="in kelvin cannot be read in nm"):
        load_system((topology, system), positions=x * unit.kelvin)
    water = Molecule.from_smiles("O")
    with pytest.raises(InputError, match="9 particles, but the topology has 3 atoms"):
        load_system((water.to_openmm_topology(), system), positions=water.seed_conformers(1))
    with pytest.raises(InputError, match="is no OpenMM pair"):
        load_system((system, topology), positions=x)
    with pytest.raises(InputError, match="Positions are for an OpenMM pair"):
        load_system("CCO", positions=x)
    with pytest.raises(InputError, match="None, as RDKit returns"):
        load_system(None)
    with pytest.raises(InputError, match="A float is no molecule"):
        load_system(1.5)


def test_topologies_that_are_not_one_molecule_are_refused():
    topology, system, x = ethanol_pair()
    unbonded = openmm.app.Topology()
    residue = unbonded.addResidue("MOL", unbonded.addChain())
    for atom in topology.atoms():
        unbonded.addAtom(atom.name, atom.element, residue)
    with pytest.raises(InputError, match="has no bonds"):
        load_system((unbonded, system), positions=x)
    atoms = list(unbonded.atoms())
    for first, second in list(topology.bonds())[1:]:
        unbonded.addBond(atoms[first.index], atoms[second.index])
    with pytest.raises(InputError, match="has 2 molecules"):
        load_system((unbonded, system), positions=x)
    virtual = openmm.XmlSerializer.clone(system)
    virtual.setParticleMass(8, 0.0)
    virtual.setVirtualSite(8, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    with pytest.raises(InputError, match="virtual site"):
        load_system((topology, virtual), positions=x)
    periodic = openmm.XmlSerializer.clone(system)
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    for _ in range(9):
        force.addParticle(0.0, 0.1, 0.0)
    periodic.addForce(force)
    with pytest.raises(InputError, match="is periodic"):
        load_system((topology, periodic), positions=x)


def test_a_system_has_its_energy_already():
    system = load_system("CCO", "mmff94s")
    assert load_system(system, "MMFF94s") is system
    with pytest.raises(InputError, match="leave out 'mmff94'"):
        load_system(system, "mmff94")


def test_quantities_are_settings():
    config = sample_config(
        {
            "molecule": "CCO",
            "temperature": 300 * unit.kelvin,
            "budget": 2 * unit.minute,
            "free_energy_error": 4.184 * unit.kilojoule_per_mole,
            "frames.picoseconds": 0.02 * unit.nanosecond,
            "frames.friction": 3 / unit.picosecond,
        }
    )
    assert (config.temperature, config.budget_seconds, config.free_energy_error) == (300.0, 120.0, 1.0)
    assert (config.frames.picoseconds, config.frames.friction) == pytest.approx((20.0, 3.0))
    energy = boltzgen.compile_system(load_system("CCO").system)
    assert boltzgen.BoltzmannTarget(energy, 310 * unit.kelvin).temperature == 310.0
    with pytest.raises(InputError, match="in nanometer cannot be read in K"):
        sample_config({"molecule": "CCO", "temperature": 3 * unit.nanometer})


def test_a_run_of_a_mol_repeats_from_its_folder_and_resumes(tmp_path):
    mol = embedded("CCF")
    first = boltzgen.sample(mol, out=tmp_path / "run", seed=2, **SMALL)
    assert first.molecule.smiles == "CCF"
    resumed = boltzgen.sample(mol, out=tmp_path / "run", seed=2, resume=True, **SMALL)
    np.testing.assert_array_equal(resumed.positions, first.positions)
    with pytest.raises(InputError, match="another molecule or system"):
        boltzgen.sample(embedded("CCF", n=1), out=tmp_path / "run", seed=2, resume=True, **SMALL)
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    again = run_sample(read_config(moved / "config.toml"))
    np.testing.assert_array_equal(again.positions, first.positions)


def test_a_stored_system_is_read_back_whole(tmp_path):
    topology, system, x = ethanol_pair()
    boltzgen.sample((topology, system), positions=x, temperature=310 * unit.kelvin, out=tmp_path, **SMALL)
    read = load_system(tmp_path / "input.json")
    assert isinstance(read, MolecularSystem)
    np.testing.assert_array_equal(energies(read.system, x[None]), energies(system, x[None]))
    np.testing.assert_allclose(read.molecule.seed_conformers(1, minimise=False)[0], x, atol=1e-12)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="holds no molecule or system"):
        load_system(tmp_path / "bad.json")
