"""What becomes a molecule and what is refused, with which sentence."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from boltzgen.molecules.unkept_stereo import require_kept_stereo


@pytest.mark.parametrize(
    ("smiles", "sentence"),
    [
        ("", "not a SMILES"),
        ("xyz", "not a SMILES"),
        ("c1cccc1", "not a possible molecule"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("CCO.O", "several fragments"),
        ("C[CH2]", "unpaired electron on C"),
        ("*CC", "dummy"),
        ("C$C", "bond of the type quadruple"),
        ("C[Pt]<-N", "bond of the type dative"),
        ("C" * 41, "125 atoms"),
    ],
)
def test_unusable_smiles_are_named(smiles, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        Molecule.from_smiles(smiles)
    assert "\n" not in str(caught.value)
    assert smiles in str(caught.value)


@pytest.mark.parametrize(
    ("smiles", "named"),
    [
        ("C C O", "'C O' after white space"),
        ("CC\nO", "'O' after white space"),
        ("CCO ethanol", "'ethanol' after white space"),
        ("CCO |a:1| ethanol", "after white space"),
        ("CCO |unfinished", "after white space"),
        ("C[C@H](F)Cl |&1:1|", "&1:1"),
        ("C[C@H](F)Cl |o1:1|", "o1:1"),
        ("C[C@H](F)Cl |a:1,&1:1|", "&1:1"),
        ("C[C@H](F)Cl |r|", "relative stereo"),
        ("CC(F)Cl |wU:1.0|", "wU:1.0"),
        ("CC |(0,0,;1,0,)|", "coordinates"),
        ("CCO |^1:0|", "unpaired electrons"),
        ("CC=CC |ctu:1|", "unknown side"),
        ("CCO |m:1:0.2|", "variable attachment"),
        ("CC |$_AP1;$|", "atom labels"),
        ("CC |new:1|", "new:1"),
    ],
)
def test_what_stands_after_a_smiles_is_never_ignored(smiles, named):
    with pytest.raises(InputError, match="give the SMILES") as caught:
        Molecule.from_smiles(smiles)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_white_space_around_a_smiles_and_extensions_that_rdkit_takes_over():
    assert Molecule.from_smiles(" CCO\n").smiles == "CCO"
    assert Molecule.from_smiles("C[C@H](F)Cl |a:1|").smiles == "C[C@H](F)Cl"
    for field, side in (("c", Chem.BondStereo.STEREOZ), ("t", Chem.BondStereo.STEREOE)):
        molecule = Molecule.from_smiles(f"C1CCCC=CCCC1 |{field}:4|")
        perceived = Chem.MolFromSmiles(molecule.smiles)
        assert [b.GetStereo() for b in perceived.GetBonds() if b.GetBondTypeAsDouble() == 2] == [side]


@pytest.mark.parametrize(
    ("smiles", "named"),
    [
        ("C/C=C=C=C/C", "C=C=C=C (atoms 1-2-3-4), which has E/Z isomers"),
        ("CC=C=C=CC", "has E/Z isomers"),
        ("C[CH]=[C@]=CC", "C=C=C (atoms 1-2-3), which is chiral"),
        ("CC=C=CC", "is chiral"),
        ("CC=C=C=C=CC", "C=C=C=C=C (atoms 1-2-3-4-5), which is chiral"),
        ("CC1CCC(=C=CC)CC1", "is chiral"),
        ("C1=C=CCCCCCC1", "is chiral"),
        ("F[P@TB1](Cl)(Br)(N)C", "stereo of P (index 1)"),
    ],
)
def test_stereo_that_rdkit_cannot_label_is_refused_by_name(smiles, named):
    with pytest.raises(InputError) as caught:
        Molecule.from_smiles(smiles)
    assert named in str(caught.value)
    assert ": give " in str(caught.value)


@pytest.mark.parametrize(
    "smiles", ["CC=C=C", "CC(C)=C=C=C(C)C", "CC=C=C(C)C", "CN=C=NC", "CC=C=O", "CC=C=NC"]
)
def test_cumulenes_of_one_form_are_taken(smiles):
    assert Molecule.from_smiles(smiles).n_atoms > 0


def test_labelled_atropisomers_and_stereo_groups_in_files_are_refused(tmp_path):
    rdmol = Chem.MolFromSmiles("Cc1cccc(F)c1-c1c(C)cccc1F")
    axis = next(b for b in rdmol.GetBonds() if not b.GetIsAromatic() and not b.GetBeginAtom().GetDegree() < 3)
    axis.SetStereo(Chem.BondStereo.STEREOATROPCW)
    with pytest.raises(InputError, match="labels an atropisomer"):
        require_kept_stereo(rdmol, "this")
    racemic = Chem.MolFromSmiles("C[C@H](F)Cl |&1:1|")
    rdDepictor.Compute2DCoords(racemic)
    (tmp_path / "racemic.mol").write_text(Chem.MolToV3KMolBlock(racemic))
    with pytest.raises(InputError, match="stands for several stereoisomers"):
        Molecule.from_file(tmp_path / "racemic.mol")


def test_sizes_are_limited_and_coincident_atoms_named(tmp_path):
    with pytest.raises(InputError, match="20000 characters"):
        Molecule.from_smiles("C" * 20_000)
    with pytest.raises(InputError, match="500 atoms") as caught:
        Molecule.from_smiles("C" * 500)
    assert len(str(caught.value)) < 600
    (tmp_path / "huge.sdf").write_text("x" * 10_100_000)
    with pytest.raises(InputError, match=r"10\.1 MB"):
        Molecule.from_file(tmp_path / "huge.sdf")
    rdmol = embedded("CCO")
    x = rdmol.GetConformer().GetPositions()
    x[1] = x[0]
    rdmol.GetConformer().SetPositions(x)
    write_sdf(tmp_path / "coincident.sdf", rdmol)
    with pytest.raises(InputError, match="atoms 0 and 1 0 Å apart"):
        Molecule.from_file(tmp_path / "coincident.sdf")


@pytest.mark.parametrize(
    ("smiles", "isomers"),
    [
        ("CC(N)C(=O)O", ["C[C@@H](N)C(=O)O", "C[C@H](N)C(=O)O"]),
        ("CC=CC", ["C/C=C/C", "C/C=C\\C"]),
        ("CC(=N)N", ["[H]/N=C(/C)N", "[H]/N=C(\\C)N"]),
        ("C1CCC2CCCCC2C1", ["C1CC[C@H]2CCCC[C@@H]2C1", "C1CC[C@H]2CCCC[C@H]2C1"]),
    ],
)
def test_open_stereo_is_refused_with_the_choices(smiles, isomers):
    with pytest.raises(InputError, match="leaves stereo open") as caught:
        Molecule.from_smiles(smiles)
    for isomer in isomers:
        assert isomer in str(caught.value)
    assert sorted(molecule.smiles for molecule in Molecule.stereoisomers(smiles)) == sorted(isomers)


def test_a_centre_between_a_cis_and_a_trans_ring_is_open_and_refused():
    with pytest.raises(InputError, match=r"Atom 1 .* a stereocentre by the stereo of its branches"):
        Molecule.from_smiles("CC([C@H]1CC[C@@H](C)CC1)[C@H]1CC[C@H](C)CC1")
    Molecule.from_smiles("CC([C@H]1CC[C@@H](C)CC1)[C@H]1CC[C@@H](C)CC1")
    with pytest.raises(InputError, match="leaves stereo open"):
        Molecule.from_smiles("C[C@H](O)C(O)[C@@H](C)O")


@pytest.mark.parametrize("smiles", ["CC(N)=[NH+]C", "C/C(N)=[NH+]/C", "C/C(N)=[NH+]\\C", "C[NH+]=C(N)NC"])
def test_the_double_bond_of_an_amidinium_has_no_side(smiles):
    molecule = Molecule.from_smiles(smiles)
    assert len(molecule.stereo.double_bonds) == 0
    assert "/" not in molecule.smiles
    seeds = molecule.seed_conformers(4, seed=1)
    assert {molecule.smiles_from_positions(x) for x in seeds} == {molecule.smiles}
    perceived = Chem.Mol(molecule.rdmol)
    perceived.AddConformer(conformer(seeds[0]))
    Chem.AssignStereochemistryFrom3D(perceived)
    assert any(bond.GetStereo() != Chem.BondStereo.STEREONONE for bond in perceived.GetBonds())
    assert Molecule(perceived).smiles == molecule.smiles
    assert len(Molecule(perceived).stereo.double_bonds) == 0


def test_a_long_list_of_choices_is_cut():
    with pytest.raises(InputError, match="and 48 or more others") as caught:
        Molecule.from_smiles("CC(O)C(F)C(O)C(F)C(O)C(F)C(O)C(F)C")
    assert len(str(caught.value)) < 1500


def test_the_nine_inositols_are_found():
    assert len(Molecule.stereoisomers("OC1C(O)C(O)C(O)C(O)C1O")) == 9


@pytest.mark.parametrize(
    "smiles",
    ["C1CC2CCC1C2", "CC=C=C", "C12C3C4C1C5C2C3C45", "C1CN2CCN1CC2", "OC1CCCCC1", "CN(C)CC", "C1=CCCC1"],
)
def test_what_has_no_choice_is_not_asked_for(smiles):
    assert len(Molecule.stereoisomers(smiles)) == 1
    assert Molecule.from_smiles(smiles).n_atoms > 0


@pytest.mark.parametrize(
    ("smiles", "n_atoms"), [("[H][H]", 2), ("O", 3), ("C", 5), ("O=C=O", 3), ("[He]", 1)]
)
def test_small_molecules_keep_every_atom(smiles, n_atoms):
    molecule = Molecule.from_smiles(smiles)
    seeds = molecule.seed_conformers(3, seed=0)
    assert molecule.n_atoms == n_atoms
    assert seeds.shape == (3, n_atoms, 3)
    assert np.isfinite(seeds).all()


def write_sdf(path, rdmol):
    with Chem.SDWriter(str(path)) as writer:
        for conformer in rdmol.GetConformers():
            writer.write(rdmol, confId=conformer.GetId())


def embedded(smiles, n=1):
    molecule = Molecule.from_smiles(smiles)
    rdmol = Chem.Mol(molecule.rdmol)
    for x in molecule.seed_conformers(n, seed=2):
        conformer = Chem.Conformer(len(x))
        conformer.SetPositions(10 * x)
        rdmol.AddConformer(conformer, assignId=True)
    return rdmol


def test_sdf_positions_give_stereo_and_the_first_seeds(tmp_path):
    rdmol = embedded("C[C@H](N)C(=O)O", n=3)
    expected = np.array([conformer.GetPositions() for conformer in rdmol.GetConformers()]) / 10
    Chem.RemoveStereochemistry(rdmol)
    write_sdf(tmp_path / "alanine.sdf", rdmol)
    molecule = Molecule.from_file(tmp_path / "alanine.sdf")
    assert molecule.smiles == Molecule.from_smiles("C[C@H](N)C(=O)O").smiles
    assert molecule.name == "alanine"
    np.testing.assert_allclose(molecule.seed_conformers(3, minimise=False), expected, atol=1e-5)
    assert len(molecule.seed_conformers(5)) == 5


def test_flat_mol_block_counts_by_its_marks(tmp_path):
    rdmol = Chem.MolFromSmiles("C[C@H](N)C(=O)O")
    rdDepictor.Compute2DCoords(rdmol)
    (tmp_path / "flat.mol").write_text(Chem.MolToMolBlock(rdmol))
    molecule = Molecule.from_file(tmp_path / "flat.mol")
    assert molecule.smiles == "C[C@H](N)C(=O)O"
    assert molecule.rdmol.GetNumConformers() == 0


def flat_block(smiles, mark):
    """A flat mol block with its middle bond crossed, or the first bond of its second atom wavy."""
    rdmol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(rdmol)
    if mark == "crossed":
        rdmol.GetBondWithIdx(1).SetStereo(Chem.BondStereo.STEREOANY)
        return Chem.MolToMolBlock(rdmol)
    lines = Chem.MolToMolBlock(rdmol).split("\n")
    row = next(k for k, line in enumerate(lines) if line.startswith(("  1  2  1", "  2  1  1")))
    lines[row] = "  2  1  1  4"
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("smiles", "mark"), [("C[C@H](F)Cl", "wavy"), ("C/C=C/Cl", "crossed"), ("C/C=C/Cl", "wavy")]
)
def test_wavy_and_crossed_bonds_leave_stereo_open(tmp_path, smiles, mark):
    (tmp_path / "open.mol").write_text(flat_block(smiles, mark))
    with pytest.raises(InputError, match="leaves stereo open") as caught:
        Molecule.from_file(tmp_path / "open.mol")
    assert smiles in str(caught.value)


def test_positions_count_more_than_a_wavy_bond(tmp_path):
    write_sdf(tmp_path / "wavy.sdf", embedded("C[C@H](F)Cl"))
    text = (tmp_path / "wavy.sdf").read_text()
    assert "  2  3  1  0" in text
    for line in ("  2  3  1  0", "  2  3  1  1", "  2  3  1  6"):
        text = text.replace(line, "  2  3  1  4")
    (tmp_path / "wavy.sdf").write_text(text)
    assert Molecule.from_file(tmp_path / "wavy.sdf").smiles == "C[C@H](F)Cl"


def test_records_with_atoms_in_another_order_are_refused(tmp_path):
    rdmol = embedded("CCOCC=O", n=2)
    write_sdf(tmp_path / "same.sdf", rdmol)
    assert Molecule.from_file(tmp_path / "same.sdf").rdmol.GetNumConformers() == 2
    # Carbons exchanged: the same elements in the same order, the same SMILES, other bonds.
    order = list(range(rdmol.GetNumAtoms()))
    order[0], order[4] = order[4], order[0]
    other = Chem.RenumberAtoms(rdmol, order)
    for name, second in (("carbons", other), ("centres", mirrored(embedded("C[C@H](F)CC[C@@H](F)C")))):
        first = rdmol if name == "carbons" else embedded("C[C@H](F)CC[C@@H](F)C")
        write_sdf(tmp_path / f"{name}.sdf", first)
        text = (tmp_path / f"{name}.sdf").read_text()
        write_sdf(tmp_path / f"{name}.sdf", second)
        (tmp_path / f"{name}.sdf").write_text(text + (tmp_path / f"{name}.sdf").read_text())
        with pytest.raises(InputError, match="orders of atoms"):
            Molecule.from_file(tmp_path / f"{name}.sdf")


def mirrored(rdmol):
    """The mirror image: of a meso molecule the same molecule, but with its centres exchanged."""
    for one in rdmol.GetConformers():
        one.SetPositions(one.GetPositions() * [1.0, 1.0, -1.0])
    return rdmol


def test_files_that_are_refused(tmp_path):
    (tmp_path / "broken.sdf").write_text("no molecule\n")
    (tmp_path / "empty.mol").write_text("")
    (tmp_path / "notes.txt").write_text("CCO")
    write_sdf(tmp_path / "two.sdf", embedded("CCO"))
    text = (tmp_path / "two.sdf").read_text()
    write_sdf(tmp_path / "two.sdf", embedded("CCN"))
    (tmp_path / "two.sdf").write_text(text + (tmp_path / "two.sdf").read_text())
    for name, sentence in [
        ("broken.sdf", "cannot|not a mol block"),
        ("empty.mol", "not a mol block"),
        ("notes.txt", "not a molecule file"),
        ("two.sdf", "different molecules"),
        ("missing.sdf", "no file"),
    ]:
        with pytest.raises(InputError, match=sentence):
            Molecule.from_file(tmp_path / name)
