"""What a root that comes with a rotation is called and may vouch for, and what is remarked of a rotation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.roots.catalogue import Catalogue, CatalogueEntry, Purpose, Vendor
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Provenance, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import RotationPlan
from cmakeys.roots.rotation_start import newcomer, plan_start
from cmakeys.roots.vouching import Credentials
from tests.roots.succession import certificate, circumstances, root

ACME = Constraints(pci_vendors=frozenset({0x1B36}))
OLD = replace(root("old"), constraints=ACME)
NEW = certificate("new")
SOURCE = Provenance("new.pem", reason="quarter 3")


def known_as(name: str, constraints: Constraints) -> Catalogue:
    entry = CatalogueEntry(name, NEW.fingerprint, "Acme", "the new root", Purpose.PRODUCTION, constraints=constraints)
    return Catalogue((Vendor("acme", frozenset({0x1B36}), "", (), (entry,)),))


def plan(new: Root, old: Root = OLD) -> RotationPlan:
    credentials = Credentials(fingerprint=new.fingerprint)
    return plan_start(RootSet((old,)), old, new, circumstances(), credentials=credentials)


def test_a_newcomer_may_vouch_for_what_the_old_root_vouches_for() -> None:
    made = newcomer(NEW, OLD, RootSet((OLD,)), Catalogue(()), SOURCE, None)
    assert (made.name, made.state, made.constraints) == ("acme-root-new", LifeCycle.STAGED, ACME)
    assert made.provenance == SOURCE


def test_the_catalogue_knows_better() -> None:
    wide = Constraints(pci_vendors=frozenset({0x1B36, 0x10DE}))
    made = newcomer(NEW, OLD, RootSet((OLD,)), known_as("acme-g2", wide), SOURCE, None)
    assert (made.name, made.constraints, made.provenance.catalogue) == ("acme-g2", wide, "acme-g2")
    assert newcomer(NEW, OLD, RootSet((OLD,)), known_as("acme-g2", wide), SOURCE, "mine").name == "mine"


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    held = Root("acme-root-new", certificate("third"))
    made = newcomer(NEW, OLD, RootSet((OLD, held)), Catalogue(()), SOURCE, None)
    assert made.name == f"acme-root-new-{NEW.fingerprint[:16]}"
    taken = plan_start(
        RootSet((OLD, held)),
        OLD,
        Root("acme-root-new", NEW, LifeCycle.STAGED),
        circumstances(),
        credentials=Credentials(fingerprint=NEW.fingerprint),
    )
    assert [block.code for block in taken.blocks] == ["name-taken"]
    assert taken.changes == ()
    assert taken.after == taken.before


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Constraints(), "PCI vendors"),
        (Constraints(pci_vendors=frozenset({0x1B36, 1})), "PCI vendors"),
        (ACME, ""),
        (replace(ACME, slots=frozenset({0})), ""),
    ],
)
def test_a_root_that_may_vouch_for_more_than_the_old_one_is_remarked(limits: Constraints, said: str) -> None:
    remarks = " ".join(plan(replace(root("new:staged"), constraints=limits)).remarks)
    assert ("may vouch for more than old" in remarks) == bool(said)
    assert said in remarks


def test_a_key_that_older_kernels_do_not_load_is_remarked() -> None:
    remarks = plan(root("lattice:staged")).remarks
    assert any("kernels before 7.0 do not load lattice" in remark for remark in remarks)
    assert plan(root("lattice:staged")).blocks == ()


def test_where_no_kernel_loads_the_old_root_the_new_one_need_not_be_loaded_either() -> None:
    old = root("edwards")
    found = plan(replace(root("edwards-two:staged")), old)
    assert found.blocks == ()
    assert any("no kernel loads either" in remark for remark in found.remarks)


def test_an_old_root_that_ends_within_the_overlap_is_remarked() -> None:
    found = plan(root("new:staged"), root("ending"))
    assert any("ending ends on 2040-01-15, before the overlap does" in remark for remark in found.remarks)
