"""One root: its name, its identity and what it may vouch for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from cmakeys.errors import UsageProblem
from cmakeys.roots.root import Constraints, Provenance, Root, check_name
from tests.roots.trust import certificate, root


def test_the_kernel_description_carries_name_and_whole_fingerprint() -> None:
    nvidia = root("nvidia")
    assert nvidia.description == f"cmakeys:nvidia:{nvidia.certificate.fingerprint}"


@pytest.mark.parametrize("name", ["a", "nvidia-device-identity", "0", "x_1", "a" * 64])
def test_plain_names_name_a_root(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "A", "-a", ".a", "a.b", "a\n", "deny", "a" * 65, "ä", "a:b", "a b", "a\x00"]
)
def test_a_name_is_never_a_path_nor_a_deny_file(name: str) -> None:
    with pytest.raises(UsageProblem):
        check_name(name)
    with pytest.raises(UsageProblem):
        Root(name, certificate("any"))


def test_a_date_needs_a_time_zone() -> None:
    with pytest.raises(UsageProblem, match="time zone"):
        Root("a", certificate("a"), distrust_after=datetime(2030, 1, 1))
    with pytest.raises(UsageProblem, match="time zone"):
        Root("a", certificate("a"), provenance=Provenance(added_at=datetime(2030, 1, 1)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constraints(pci_vendors=frozenset({0x10000})),
        lambda: Constraints(pci_devices=frozenset({-1})),
        lambda: Constraints(slots=frozenset({8})),
        lambda: Constraints(classes=frozenset({"3"})),
        lambda: Constraints(classes=frozenset({"03020"})),
        lambda: Constraints(versions=frozenset({"2.0"})),
        lambda: Constraints(algorithms=frozenset({"ecdsa"})),
    ],
)
def test_a_constraint_that_could_match_nothing_is_refused(make: Callable[[], Constraints]) -> None:
    with pytest.raises(UsageProblem):
        make()


def test_no_constraint_restricts_nothing() -> None:
    check = Constraints().check(vendor=1, device=2, class_code=3, slot=4, algorithm="X-1", version="1.0")
    assert check.faults == ()
    assert check.unchecked == ()


FULL = Constraints(
    pci_vendors=frozenset({0x10DE, 0x15B3}),
    pci_devices=frozenset({0x2330}),
    classes=frozenset({"0302", "02"}),
    slots=frozenset({0}),
    algorithms=frozenset({"ECDSA-P384"}),
    versions=frozenset({"1.1", "1.2"}),
)


def test_a_device_that_meets_every_constraint_has_no_fault() -> None:
    for class_code in (0x030200, 0x020000, 0x02FFFF):
        check = FULL.check(
            vendor=0x10DE, device=0x2330, class_code=class_code, slot=0, algorithm="ECDSA-P384", version="1.1"
        )
        assert check.faults == ()
        assert check.unchecked == ()


def test_every_violated_constraint_is_named() -> None:
    check = FULL.check(vendor=0x1B36, device=1, class_code=0x010802, slot=1, algorithm="RSASSA-3072", version="1.0")
    assert check.faults == (
        "PCI vendor 1b36 is not among 10de, 15b3",
        "PCI device 0001 is not among 2330",
        "PCI class 010802 is not among 02, 0302",
        "slot 1 is not among 0",
        "algorithm RSASSA-3072 is not among ECDSA-P384",
        "SPDM version 1.0 is not among 1.1, 1.2",
    )


def test_what_is_restricted_but_unknown_is_neither_met_nor_violated() -> None:
    check = FULL.check(slot=0)
    assert check.faults == ()
    assert check.unchecked == ("PCI vendor", "PCI device", "PCI class", "algorithm", "SPDM version")
