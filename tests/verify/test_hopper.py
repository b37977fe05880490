"""A real GPU's report: trusted as it is, rejected at the right step for every byte that is changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.evidence import archive, nvidia
from cmakeys.evidence.model import Evidence
from cmakeys.roots.root import Constraints, LeafNameRule, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.codes import Version
from cmakeys.verify.policy import Policy
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, StepOutcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.identity import PciIdentity
from tests.evidence.loopback import vendor
from tests.verify.cases import enrolled, failed_steps

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NONCE = bytes.fromhex("931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb")
REPORT_SIZE = 4117
SLICES = 4


@pytest.fixture(scope="module")
def evidence(shared_data: Path) -> Evidence:
    folder = shared_data / "nvidia-hopper"
    return nvidia.evidence_of(
        (folder / "hopperAttestationReport.txt").read_bytes(),
        (folder / "hopperCertChain.txt").read_bytes(),
        device="gpu",
        chain_source="chain",
        collected_at=NOW,
    )


@pytest.fixture(scope="module")
def rootset(shared_data: Path) -> RootSet:
    path = shared_data / "nvidia-hopper" / "nvidia_device_root.pem"
    (certificate,) = read_certificates(path.read_bytes(), str(path))
    rule = Constraints(pci_vendors=frozenset({0x10DE}), leaf_name=LeafNameRule.DEVICE_INFO)
    return RootSet((Root("nvidia", certificate, constraints=rule),))


def judge(evidence: Evidence, rootset: RootSet, **more: object) -> Verdict:
    return verify(evidence, rootset, now=NOW, **more)  # type: ignore[arg-type]  # each by its own name


def test_the_report_is_trusted_and_every_step_says_what_it_did(evidence: Evidence, rootset: RootSet) -> None:
    verdict = judge(evidence, rootset)
    assert verdict.outcome is Outcome.TRUSTED
    done = {2, 3, 4, 5, 6, 8, 9, 12}
    for step in verdict.steps:
        expected = StepOutcome.PASSED if step.number in done else StepOutcome.NOT_CHECKED
        assert step.outcome is expected, step
        assert step.reason
    assert (verdict.root, verdict.version, verdict.algorithm, verdict.slot) == ("nvidia", "1.1", "ECDSA-P384", 0)
    assert "64 measurements" in verdict.step(12).reason
    assert "NVIDIA:GH100:48B02D92494BADF4" in verdict.step(9).reason


def test_saved_and_loaded_it_gives_the_same_verdict(evidence: Evidence, rootset: RootSet) -> None:
    loaded = archive.decode(archive.encode(evidence), "file")
    assert judge(loaded, rootset) == judge(evidence, rootset)


def test_as_an_enrolled_gpu_of_this_machine_it_is_trusted(evidence: Evidence, rootset: RootSet) -> None:
    gpu = replace(evidence, identity=PciIdentity(0x10DE, 0x2330, 0x030200, 0xA1))
    reference = ReferenceValues.of(review(evidence).blocks)
    verdict = judge(gpu, rootset, enrolment=enrolled(evidence), reference=reference)
    assert verdict.outcome is Outcome.TRUSTED
    assert verdict.step(10).outcome is verdict.step(13).outcome is StepOutcome.PASSED


def test_in_the_place_of_another_vendors_function_the_root_may_not_vouch(evidence: Evidence, rootset: RootSet) -> None:
    elsewhere = replace(evidence, identity=PciIdentity(0x8086, 0x2330, 0x030200, 0xA1))
    assert failed_steps(judge(elsewhere, rootset)) == [5]


def test_the_right_nonce_is_accepted_and_a_wrong_one_rejected_at_step_12(evidence: Evidence, rootset: RootSet) -> None:
    assert judge(evidence, rootset, expected_nonce=NONCE).outcome is Outcome.TRUSTED
    verdict = judge(evidence, rootset, expected_nonce=bytes(32))
    assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [12])
    assert "931d8dd0add203ac" in verdict.step(12).reason


def test_another_root_is_rejected_at_step_4(evidence: Evidence) -> None:
    verdict = judge(evidence, RootSet((Root("acme", vendor().certificate),)))
    assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [4])
    assert verdict.root is None


def test_a_version_outside_policy_is_rejected_at_step_1(evidence: Evidence, rootset: RootSet) -> None:
    verdict = judge(evidence, rootset, policy=Policy(versions=frozenset({Version.V12})))
    assert failed_steps(verdict) == [1]


@pytest.mark.parametrize("part", range(SLICES))
def test_every_byte_of_the_report_counts(evidence: Evidence, rootset: RootSet, part: int) -> None:
    assert len(evidence.report) == REPORT_SIZE
    for offset in range(part, REPORT_SIZE, SLICES):
        report = bytearray(evidence.report)
        report[offset] ^= 1 << offset % 8
        verdict = judge(replace(evidence, report=bytes(report)), rootset)
        assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [12]), offset


@pytest.mark.parametrize("cut", [*range(60), 100, 3557, 4000, REPORT_SIZE - 96, REPORT_SIZE - 1])
def test_a_report_of_another_length_is_rejected_at_step_12(evidence: Evidence, rootset: RootSet, cut: int) -> None:
    for report in (evidence.report[:cut], evidence.report + bytes(cut + 1)):
        verdict = judge(replace(evidence, report=report), rootset)
        assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [12])


def test_every_byte_of_every_certificate_counts(evidence: Evidence, rootset: RootSet) -> None:
    for number, der in enumerate(evidence.certificates):
        for offset in range(len(der)):
            changed = bytearray(der)
            changed[offset] ^= 1 << offset % 8
            certificates = (*evidence.certificates[:number], bytes(changed), *evidence.certificates[number + 1 :])
            verdict = judge(replace(evidence, certificates=certificates), rootset)
            assert verdict.outcome is Outcome.REJECTED, (number, offset)
            assert failed_steps(verdict)[0] in (2, 3, 4), (number, offset, verdict.summary)


def test_a_chain_that_lacks_a_certificate_is_rejected_in_the_chain_steps(evidence: Evidence, rootset: RootSet) -> None:
    for number in range(1, len(evidence.certificates)):
        certificates = evidence.certificates[:number] + evidence.certificates[number + 1 :]
        verdict = judge(replace(evidence, certificates=certificates), rootset)
        assert verdict.outcome is Outcome.REJECTED
        assert failed_steps(verdict)[0] in (2, 3)


def test_a_chain_without_the_root_itself_is_anchored_by_its_signature(evidence: Evidence, rootset: RootSet) -> None:
    assert judge(replace(evidence, certificates=evidence.certificates[1:]), rootset).outcome is Outcome.TRUSTED
