"""What is drawn are the distributions of the samples: torsions as mdtraj has them."""

import re
import sys
from xml.etree import ElementTree

import mdtraj
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import StepPatch

from boltzgen.ensemble import Ensemble
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.plots.style import PALETTE
from boltzgen.plots.svg import figure_svg
from boltzgen.units import KJ_PER_KCAL
from tests.made_up_runs import made_up_run


@pytest.fixture(scope="module")
def peptide() -> Ensemble:
    """The reference ensemble of alanine dipeptide."""
    return Ensemble.load("data/alanine-dipeptide-vacuum")


@pytest.fixture(scope="module")
def pentanol() -> Ensemble:
    return made_up_run(Molecule.from_smiles("CCCCCO"), spread=0.7)


def stairs(axis) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Heights and edges of the histograms in ``axis`` by their labels."""
    drawn = [patch for patch in axis.patches if isinstance(patch, StepPatch)]
    return {patch.get_label(): patch.get_data()[:2] for patch in drawn}


def test_torsions_are_those_that_mdtraj_measures(peptide):
    figure = peptide.plot_torsions()
    axis = next(axis for axis in figure.axes if axis.get_title(loc="left") == "C5–N7–C9–C15")
    heights, edges = stairs(axis)["samples"]
    _, phi = mdtraj.compute_phi(peptide.to_mdtraj(weighted=True))
    np.testing.assert_allclose(
        heights, np.histogram(np.degrees(phi[:, 0]), edges, density=True)[0], atol=2e-4
    )
    assert (heights * np.diff(edges)).sum() == pytest.approx(1.0)


def test_generated_reweighted_and_replica_exchange_stand_in_one_panel(pentanol):
    drawn = stairs(pentanol.plot_torsions().axes[0])
    assert set(drawn) == {"generated", "reweighted", "replica exchange"}
    values = np.degrees(next(iter(pentanol.torsions().values())))
    for name, weights in (("generated", None), ("reweighted", pentanol.weights)):
        heights, edges = drawn[name]
        expected = np.histogram(values, edges, weights=weights, density=True)[0]
        np.testing.assert_allclose(heights, expected)
    np.testing.assert_allclose(drawn["replica exchange"][0], 1 / 360)  # as it was counted


def test_names_of_basins_have_their_populations(peptide):
    axis = next(a for a in peptide.plot_torsions().axes if a.get_title(loc="left") == "C5–N7–C9–C15")
    named = {text.get_text().split("\n")[0]: text.get_text().split("\n")[1] for text in axis.texts}
    states = next(one for one in peptide.conformers.torsion_states if one.torsion.name == "C5–N7–C9–C15")
    phi = peptide.torsions()["C5–N7–C9–C15"]
    for k, label in enumerate(states.labels):
        assert named[label] == f"{100 * np.mean(states.assign(phi) == k):.0f} %"


def test_the_ramachandran_map_is_the_free_energy_of_its_histogram(peptide):
    axis = peptide.plot_ramachandran().axes[0]
    (mesh,) = (mesh for mesh in axis.collections if isinstance(mesh, QuadMesh))
    edges = mesh.get_coordinates()[0, :, 0]
    trajectory = peptide.to_mdtraj(weighted=True)
    phi, psi = (np.degrees(f(trajectory)[1][:, 0]) for f in (mdtraj.compute_phi, mdtraj.compute_psi))
    counts = np.histogram2d(psi, phi, bins=[edges, edges])[0]
    seen = counts > 50
    expected = -peptide.kT / KJ_PER_KCAL * np.log(counts[seen] / counts.max())
    np.testing.assert_allclose(np.ma.getdata(mesh.get_array())[seen], expected, atol=0.05)


def test_a_map_of_torsions_that_are_not_there_is_refused(pentanol):
    with pytest.raises(InputError, match="Torsions 1 and 1"):
        pentanol.plot_torsion_map(1, 1)
    with pytest.raises(InputError, match="0 torsions"):
        made_up_run(Molecule.from_smiles("C#C")).plot_torsion_map()


def test_energies_are_reweighted(pentanol):
    axis = pentanol.plot_energies().axes[0]
    heights, edges = stairs(axis)["reweighted"]
    middles = (edges[1:] + edges[:-1]) / 2
    mean = (heights * middles * np.diff(edges)).sum() / (heights * np.diff(edges)).sum()
    values = pentanol.energies / KJ_PER_KCAL
    assert mean == pytest.approx(np.average(values, weights=pentanol.weights) - values.min(), abs=0.05)


def test_shares_of_squared_weights_give_the_effective_sample_size(pentanol):
    counted, shares = pentanol.plot_weights().axes
    counts, edges = stairs(counted)["generated"]
    assert counts.sum() == len(pentanol)
    percent, _ = stairs(shares)["% of Σw²"]
    assert percent.sum() == pytest.approx(100.0)
    middles = np.exp((edges[1:] + edges[:-1]) / 2)  # weights over their mean
    expected = 100 * counts * middles**2 / (counts * middles**2).sum()
    np.testing.assert_allclose(percent, expected, atol=2.0)
    effective = len(pentanol) ** 2 / (counts * middles**2).sum()
    assert effective == pytest.approx(pentanol.effective_sample_size, rel=0.05)


def test_frames_have_no_weights_to_draw(peptide):
    with pytest.raises(InputError, match="no weights"):
        peptide.plot_weights()


def test_bars_are_as_long_as_the_populations(peptide):
    bars = peptide.plot_populations(most=3).axes[0].patches
    populations = [100 * one.population.value for one in peptide.conformers.conformers[:3]]
    np.testing.assert_allclose([bar.get_width() for bar in bars], populations)


def test_rings_show_their_chairs():
    ensemble = made_up_run(Molecule.from_smiles("CC1CCCCC1"))
    axis = ensemble.plot_ring_puckers().axes[0]
    shares = [float(text.get_text().split("\n")[1].removesuffix(" %")) for text in axis.texts]
    assert sum(shares) == pytest.approx(100.0, abs=0.2)
    with pytest.raises(InputError, match="no ring"):
        made_up_run(Molecule.from_smiles("c1ccccc1")).plot_ring_puckers()


def test_conformers_keep_their_distances_in_the_viewer(pentanol):
    from rdkit import Chem

    from boltzgen.plots.viewer import conformer_models

    models = conformer_models(pentanol)
    for model, conformer in zip(models, pentanol.conformers.conformers, strict=False):
        theirs = Chem.MolFromMolBlock(model.molblock, removeHs=False)
        ours = pentanol.positions[conformer.representative]
        distances = np.linalg.norm(ours[:, None] - ours[None], axis=-1)
        np.testing.assert_allclose(Chem.Get3DDistanceMatrix(theirs) / 10, distances, atol=2e-5)
        assert Chem.MolToSmiles(Chem.RemoveHs(theirs)) == "CCCCCO"
    assert models[0].free_energy == 0.0
    assert sum(model.population for model in models) <= 1.0 + 1e-9


def test_the_svg_is_xml_with_colours_of_the_page_and_identifiers_of_its_own(pentanol):
    text = figure_svg(pentanol.plot_torsions(), "torsions", 'one & "two"')
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == 'one & "two"'
    assert all(name.startswith("torsions-") for name in re.findall(r'\bid="([^"]+)"', text))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used <= set(re.findall(r'\bid="([^"]+)"', text))
    assert f"var(--blue, {PALETTE['blue'].light})" in text


def test_palette_stands_out_from_its_paper():
    """Contrast of WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what is drawn."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for name, shade in PALETTE.items():
        for colour, paper in zip(shade, ("#ffffff", "#14181d"), strict=True):
            low, high = sorted((luminance(colour), luminance(paper)))
            least = 4.5 if name in ("ink", "faint", "blue") else 3.0
            assert (high + 0.05) / (low + 0.05) >= least, (name, colour)


def test_a_notebook_shows_formula_and_figures(pentanol):
    text = pentanol._repr_html_()
    assert "<svg" in text
    assert f"{pentanol.effective_sample_size:,.0f}" in text
    assert pentanol.molecule.smiles in text


def test_a_notebook_turns_the_conformers(pentanol):
    pytest.importorskip("py3Dmol")
    html = pentanol.view(most=3)._make_html()
    assert html.count("addModel") == min(3, len(pentanol.conformers.conformers))


def test_without_py3dmol_one_sentence_says_what_to_install(pentanol, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3Dmol", None)
    with pytest.raises(InputError, match=r"boltzgen-conformers\[notebook\]"):
        pentanol.view()
