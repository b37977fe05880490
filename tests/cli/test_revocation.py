"""`cmakeys revocation`: nothing is asked before somebody said yes, nothing is kept that nobody signed; and step 7."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.devices.register import Register
from cmakeys.revocation.store import ETC, RevocationStore
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from cmakeys.x509.crl import RevocationList
from tests.cli.machine import Machine, Said
from tests.devices.samples import sample
from tests.revocation.web import Answer, Web, serving
from tests.workbench import honest, seat, vendor
from tests.workbench import serving as devices
from tests.x509.pki import LEAF_USAGE, Issued, certificates, issue
from tests.x509.revocations import (
    DAY,
    LIST_SIGNER,
    asked_at,
    crl,
    crl_der,
    published_at,
    responder,
    response,
)

TODAY = datetime.now(UTC).replace(microsecond=0)
FRESH = {"this_update": TODAY - DAY, "next_update": TODAY + DAY}
STALE = {"this_update": TODAY - 9 * DAY, "next_update": TODAY - 2 * DAY}


@dataclass(frozen=True)
class Fleet:
    """A vendor whose certificates name a web server of the test, and a machine with a device of it."""

    machine: Machine
    web: Web
    root: Issued
    middle: Issued
    leaf: Issued

    def run(self, *words: str) -> Said:
        return self.machine.run("revocation", *words)

    @property
    def store(self) -> RevocationStore:
        return RevocationStore(self.machine.sysroot, self.machine.sysroot / "var/lib/cmakeys")

    def file(self, name: str, data: bytes) -> str:
        path = self.machine.sysroot / name
        path.write_bytes(data)
        return str(path)

    def publish(self) -> None:
        """Everything as it should be: two lists, and a responder that says good."""
        self.web.answers["/root.crl"] = Answer(crl_der(self.root, **FRESH))  # type: ignore[arg-type]
        self.web.answers["/middle.crl"] = Answer(crl_der(self.middle, **FRESH))  # type: ignore[arg-type]
        made = response(self.leaf, self.middle, signer=responder(self.middle), **FRESH)  # type: ignore[arg-type]
        self.web.answers["/ocsp"] = Answer(made.der)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    with serving() as web:
        root = issue("Web Root", number=20, key_usage=LIST_SIGNER)
        middle = issue(
            "Web Middle", root, number=21, key_usage=LIST_SIGNER, extensions=[published_at(web.url("/root.crl"))]
        )
        places = [published_at(web.url("/middle.crl"), "ldap://vendor.example/crl"), asked_at(web.url("/ocsp"))]
        leaf = issue("Web Leaf", middle, number=22, ca=False, key_usage=LEAF_USAGE, extensions=places)
        RootStore(tmp_path).add(Root("acme", root.certificate))
        device = sample(chain=certificates(middle, leaf), root_fingerprint=root.certificate.fingerprint)
        Register(tmp_path / "var/lib/cmakeys").enroll(device)
        yield Fleet(Machine(tmp_path, capsys), web, root, middle, leaf)


# -- fetch -------------------------------------------------------------------------------------------------------------


def test_the_places_are_shown_and_nobody_is_asked_without_a_yes(fleet: Fleet) -> None:
    fleet.publish()
    said = fleet.run("fetch")
    assert said.code == 8
    for path in ("/root.crl", "/middle.crl", "/ocsp"):
        assert fleet.web.url(path) in said.out
    assert "only http and https" in said.err
    assert fleet.web.asked == []
    assert fleet.run("fetch", "--dry-run").code == 0
    assert fleet.web.asked == []


def test_what_is_signed_is_kept_and_then_known(fleet: Fleet) -> None:
    fleet.publish()
    said = fleet.run("fetch", "--yes", "--json")
    assert said.code == 0, said.err
    assert said.data["kept"] == [fleet.web.url(path) for path in ("/root.crl", "/middle.crl", "/ocsp")]
    assert {(method, path) for method, path, _ in fleet.web.asked} == {
        ("GET", "/root.crl"),
        ("GET", "/middle.crl"),
        ("POST", "/ocsp"),
    }
    known = fleet.store.load()
    assert (len(known.lists), len(known.responses)) == (2, 1)
    again = fleet.run("fetch", "--yes", "--detailed-exitcode")
    assert (again.code, again.out.count("there already")) == (0, 3)
    listed = fleet.run("list")
    assert "list by CN=Web Middle" in listed.out
    assert "is good" in listed.out


def test_one_place_can_be_chosen_and_no_other_one_be_named(fleet: Fleet) -> None:
    fleet.publish()
    assert fleet.run("fetch", fleet.web.url("/root.crl"), "--yes").code == 0
    assert [path for _, path, _ in fleet.web.asked] == ["/root.crl"]
    assert fleet.run("fetch", "http://127.0.0.1/elsewhere.crl", "--yes").code == 8
    assert len(fleet.web.asked) == 1


def test_what_is_wrong_with_one_place_does_not_keep_the_others_from_being_asked(fleet: Fleet) -> None:
    fleet.publish()
    forged = crl_der(fleet.root, key=fleet.leaf.key, **FRESH)  # type: ignore[arg-type]
    fleet.web.answers["/root.crl"] = Answer(forged)
    fleet.web.answers["/ocsp"] = Answer(status=503)
    said = fleet.run("fetch", "--yes", "--json")
    assert said.code == 8
    assert said.data["kept"] == [fleet.web.url("/middle.crl")]
    errors = said.envelope["errors"]
    assert isinstance(errors, list)
    assert [error["object"] for error in errors] == [fleet.web.url("/root.crl"), fleet.web.url("/ocsp")]
    assert len(fleet.store.load().lists) == 1


def test_an_answer_about_another_certificate_or_of_another_kind_is_not_kept(fleet: Fleet) -> None:
    fleet.publish()
    stranger = issue("Stranger", fleet.middle, number=23, ca=False)
    fleet.web.answers["/ocsp"] = Answer(response(stranger, fleet.middle, **FRESH).der)  # type: ignore[arg-type]
    fleet.web.answers["/root.crl"] = fleet.web.answers["/ocsp"]
    fleet.web.answers["/middle.crl"] = Answer(b"<html>moved</html>")
    said = fleet.run("fetch", "--yes")
    assert said.code == 8
    for words in ("something else than was asked for", "about another certificate", "neither a revocation list"):
        assert words in said.err
    assert not fleet.store.load()


def test_an_older_list_does_not_take_the_place_of_a_newer_one(fleet: Fleet) -> None:
    fleet.publish()
    fleet.run("fetch", "--yes")
    older = crl_der(fleet.root, this_update=TODAY - 2 * DAY, next_update=TODAY + DAY)
    fleet.web.answers["/root.crl"] = Answer(older)
    said = fleet.run("fetch", fleet.web.url("/root.crl"), "--yes")
    assert said.code == 8
    assert "older than the one kept" in said.err


def test_where_no_certificate_names_a_place_there_is_nothing_to_fetch(machine: Machine) -> None:
    said = machine.run("revocation", "fetch", "--yes")
    assert said.code == 3
    assert "import FILE" in said.err


# -- import ------------------------------------------------------------------------------------------------------------


def test_a_list_from_a_file_is_kept_when_its_issuer_is_known(fleet: Fleet) -> None:
    path = fleet.file("root.crl", crl_der(fleet.root, [fleet.middle], **FRESH))  # type: ignore[arg-type]
    said = fleet.run("import", path, "--json")
    assert said.code == 0
    assert fleet.store.load().lists[0].entries
    assert fleet.run("import", path).out.endswith("there already\n")


def test_a_list_of_nobody_known_is_kept_only_with_its_issuer(fleet: Fleet) -> None:
    other = issue("Other", number=24, key_usage=LIST_SIGNER)
    path = fleet.file("other.crl", crl_der(other, **FRESH))  # type: ignore[arg-type]
    refused = fleet.run("import", path)
    assert refused.code == 8
    assert "--issuer FILE" in refused.err
    issuer = fleet.file("other.pem", render_pem(other.certificate))
    assert fleet.run("import", path, "--issuer", issuer, "--dry-run").code == 0
    assert not fleet.store.load()
    assert fleet.run("import", path, "--issuer", issuer).code == 0
    assert fleet.store.load()


def test_one_bad_file_does_not_keep_the_others_out(fleet: Fleet) -> None:
    bad = fleet.file("bad.crl", b"garbage")
    good = fleet.file("root.crl", crl_der(fleet.root, **FRESH))  # type: ignore[arg-type]
    assert fleet.run("import", bad, good).code == 1
    assert len(fleet.store.load().lists) == 1


# -- in a check --------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    found = Machine(tmp_path, capsys)
    found.trust(vendor())
    return found


def lists(*, revoke: bool = False, dates: dict[str, datetime] = FRESH) -> tuple[RevocationList, RevocationList]:
    """The lists of the vendor of the emulated devices."""
    authority = vendor()
    leaves = [made.leaf for slot in honest("0001").hardware.slots.values() for made in slot]
    serials = {leaf.serial_number: None for leaf in leaves} if revoke else {}
    root = Issued(authority.key, authority.certificate)
    middle = Issued(authority.intermediate_key, authority.intermediate)
    return crl(root, **dates), crl(middle, serials, **dates)  # type: ignore[arg-type]


def step(said: Said) -> dict[str, object]:
    checked = said.data["devices"]
    assert isinstance(checked, list)
    (found,) = [one for one in checked[0]["verdict"]["steps"] if one["number"] == 7]
    assert isinstance(found, dict)
    return found


@pytest.mark.system
def test_a_check_looks_into_what_the_machine_keeps_and_what_is_named(machine: Machine) -> None:
    folder = machine.sysroot / ETC
    folder.mkdir(parents=True)
    by_root, by_middle = lists()
    (folder / "root.crl").write_bytes(by_root.der)
    (machine.sysroot / "middle.crl").write_bytes(by_middle.der)
    revoking = machine.sysroot / "revoking.crl"
    revoking.write_bytes(lists(revoke=True)[1].der)
    saved = str(machine.sysroot / "saved.json")
    with devices(seat()) as (url,):
        before = step(machine.run("check", url, "--json"))
        good = machine.run("check", url, "--crl", str(machine.sysroot / "middle.crl"), "--json")
        bad = machine.run("check", url, "--crl", str(revoking), "--json")
        assert machine.run("evidence", "save", url, "-o", saved).code == 0
    assert "1 of 2 certificates" in str(before["reason"])
    assert (good.code, step(good)["outcome"]) == (0, "passed")
    assert "all 2 certificates" in str(step(good)["reason"])
    assert (bad.code, step(bad)["outcome"]) == (1, "failed")
    assert machine.run("evidence", "verify", saved, "--crl", str(machine.sysroot / "middle.crl")).code == 0
    rejected = machine.run("evidence", "verify", saved, "--crl", str(revoking))
    assert rejected.code == 1
    assert "revoked on" in rejected.out
    trusting = str(machine.sysroot / "acme.pem")
    (machine.sysroot / "acme.pem").write_bytes(render_pem(vendor().certificate))
    alone = machine.run("evidence", "verify", saved, "--root", trusting)
    assert "no revocation list was given" in alone.out


@pytest.mark.system
def test_stale_lists_degrade_a_device_and_required_ones_that_lack_reject_it(machine: Machine) -> None:
    folder = machine.sysroot / ETC
    folder.mkdir(parents=True)
    settings = machine.sysroot / "etc/cmakeys/cmakeys.yaml"
    with devices(seat()) as (url,):
        for number, made in enumerate(lists(dates=STALE)):
            (folder / f"{number}.crl").write_bytes(made.der)
        stale = machine.run("check", url, "--json")
        settings.write_text("policy: {revocation: require, revocation-horizon: 1d}\n")
        required = machine.run("check", url, "--json")
    assert (stale.code, step(stale)["outcome"]) == (0, "warned")
    assert (required.code, step(required)["outcome"]) == (1, "not-checked")


def test_a_file_that_is_no_list_stops_a_check_with_its_name(machine: Machine) -> None:
    path = machine.sysroot / "garbage.crl"
    path.write_bytes(b"garbage")
    capture = machine.capture
    code = main(["check", "emu://127.0.0.1:1", "--crl", str(path), "--sysroot", str(machine.sysroot)])
    assert code == 1
    assert str(path) in capture.readouterr().err
