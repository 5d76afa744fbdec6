"""Lists of molecules: bad lines, duplicates, names and stereoisomers, each told."""

import pytest

from boltzgen.campaign.listing import folder_name, read_list
from boltzgen.errors import InputError

LIST = """\ufeffSMILES name
CCO ethanol
# a comment
c1ccccc1x broken
OCC spirit
CC(F)Cl open
C[C@H](F)Cl |a:1| one hand

CCC ethanol
CC(=O)[O-] acetate
[CH3] methyl
CCCC ../../etc/passwd
CC=O Ethanol
O=C1C=CNC=C1
Oc1ccncc1
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "list.smi"
    path.write_text(LIST, encoding="utf-8")
    return path


def test_every_line_is_an_entry_that_says_what_becomes_of_it(source):
    entries = {entry.name: entry for entry in read_list(source)}
    assert list(entries) == [
        "ethanol", "broken", "spirit", "open", "one_hand", "ethanol-2", "acetate", "methyl", "etc_passwd",
        "Ethanol-3", "line-14", "line-15",
    ]  # fmt: skip
    assert [entry.line for entry in entries.values()] == [2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]
    assert entries["spirit"].same_as == "ethanol"
    assert not entries["spirit"].is_sampled
    assert "RDKit" in entries["broken"].problem
    assert "leaves stereo open" in entries["open"].problem
    assert "unpaired electron" in entries["methyl"].problem
    assert entries["one_hand"].smiles == "C[C@H](F)Cl |a:1|"
    # charges and tautomers are as given
    assert entries["acetate"].canonical == "CC(=O)[O-]"
    assert entries["acetate"].n_atoms == 7
    assert entries["line-14"].is_sampled
    assert entries["line-15"].is_sampled
    assert entries["line-14"].canonical != entries["line-15"].canonical


def test_stereoisomers_are_enumerated_where_that_is_asked_for(source):
    entries = {entry.name: entry for entry in read_list(source, "enumerate")}
    assert {entries["open-1"].canonical, entries["open-2"].canonical} == {"C[C@H](F)Cl", "C[C@@H](F)Cl"}
    named = entries["one_hand"]
    assert entries[named.same_as].canonical == named.canonical
    assert "RDKit" in entries["broken"].problem


def test_processes_read_what_one_reads(tmp_path):
    path = tmp_path / "list.smi"
    path.write_text("".join(f"{'C' * (k % 7 + 1)}O m{k}\n" for k in range(150)) + "X bad\n")
    told = []
    alone = read_list(path)
    assert read_list(path, processes=2, report=told.append) == alone
    assert sum(entry.is_sampled for entry in alone) == 7
    assert told == [64 / 151, 128 / 151]


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "smiles name\n"])
def test_a_list_without_molecules_is_refused(tmp_path, text):
    (tmp_path / "list.smi").write_text(text)
    with pytest.raises(InputError, match="names no molecule"):
        read_list(tmp_path / "list.smi")


@pytest.mark.parametrize("name", ["", ".", "..", "///", "---"])
def test_names_without_letters_are_none(name):
    assert folder_name(name) == ""
