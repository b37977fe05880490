"""Asking the real kernel about chains. RSA everywhere, because a kernel may lack everything else; that is asked too."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.keyring.cma import Keyring
from cmakeys.keyring.keyctl import KeyctlError, SpecialRing
from cmakeys.keyring.managed import apply
from cmakeys.keyring.oracle import SCRATCH, OracleAnswer, anchored_in, ask
from cmakeys.roots.root import Root
from cmakeys.verify.kernelview import Answer, Held, simulate
from tests.keyring.kernel import TestingKeyctl
from tests.x509.pki import Issued, certificates, device_chain, issue, leaf_of

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]

ROOT, INTERMEDIATE, LEAF = device_chain("rsa2048")
OTHER = issue("Other", kind="rsa2048", number=5)
FORGED = leaf_of(INTERMEDIATE, kind="rsa2048", signing_key=issue("Forger", kind="rsa2048", number=9).key)


def anchors(*issued: Issued) -> list[Root]:
    return [Root(f"root{number}", one.certificate) for number, one in enumerate(issued)]


def asked(chain: Sequence[Issued], *roots: Issued) -> OracleAnswer:
    return ask(anchors(*roots), certificates(*chain))


@pytest.mark.parametrize("chain", [(ROOT, INTERMEDIATE, LEAF), (INTERMEDIATE, LEAF), (ROOT,)])
def test_a_chain_that_ends_in_a_root_is_taken(chain: tuple[Issued, ...]) -> None:
    answer = asked(chain, OTHER, ROOT)
    assert answer == OracleAnswer(True, f"it took all {len(chain)} certificates")


@pytest.mark.parametrize(
    ("chain", "roots", "index", "word"),
    [
        ((ROOT, INTERMEDIATE, LEAF), (OTHER,), 0, "ENOKEY"),
        ((ROOT, INTERMEDIATE, LEAF), (), 0, "ENOKEY"),
        ((ROOT, LEAF), (ROOT,), 1, "ENOKEY"),
        ((LEAF,), (ROOT,), 0, "ENOKEY"),
        ((ROOT, INTERMEDIATE, FORGED), (ROOT,), 2, None),
    ],
)
def test_a_refusal_names_the_certificate_and_the_reason(
    chain: tuple[Issued, ...], roots: tuple[Issued, ...], index: int, word: str | None
) -> None:
    answer = asked(chain, *roots)
    assert (answer.accepted, answer.index) == (False, index)
    assert answer.errno in ((word,) if word else ("EKEYREJECTED", "EINVAL", "EBADMSG"))
    assert chain[index].certificate.label in answer.reason


def test_a_kernel_without_the_algorithm_has_no_opinion(kernel: TestingKeyctl, ring: Keyring) -> None:
    modern = issue("Modern", kind="ed25519")
    answer = asked((modern,), ROOT)
    assert answer.accepted is None
    assert "lacks an algorithm" in answer.reason
    refused = asked((INTERMEDIATE, LEAF), modern)
    assert refused.accepted is None
    assert "does not load root0" in refused.reason


def test_a_ring_that_exists_can_be_asked(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply(anchors(ROOT), ring, keyctl=kernel)
    assert anchored_in(ring.serial, certificates(INTERMEDIATE, LEAF), keyctl=kernel).accepted
    apply(anchors(OTHER), ring, keyctl=kernel)
    assert anchored_in(ring.serial, certificates(INTERMEDIATE, LEAF), keyctl=kernel).accepted is False


def test_nothing_is_left_behind(kernel: TestingKeyctl) -> None:
    asked((ROOT, INTERMEDIATE, FORGED), ROOT)
    with pytest.raises(KeyctlError):
        kernel.search(kernel.keyring_id(SpecialRing.THREAD, create=True), "keyring", SCRATCH)


def test_threads_do_not_disturb_each_other() -> None:
    answers: dict[int, list[bool | None]] = {}

    def work(number: int) -> None:
        root = (ROOT, OTHER)[number % 2]
        answers[number] = [asked((INTERMEDIATE, LEAF), root).accepted for _ in range(10)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[number] == [number % 2 == 0] * 10 for number in range(6))


POOL = (ROOT, INTERMEDIATE, LEAF, OTHER, FORGED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.sampled_from(range(len(POOL))), min_size=1, max_size=4),
    st.sets(st.sampled_from(range(len(POOL))), max_size=3),
)
def test_the_simulation_agrees_with_the_kernel_about_lookup_and_signatures(chain: list[int], roots: set[int]) -> None:
    """Rules 8 to 10; the others the oracle's kind of keyring does not have. It also lets an older key of the chain, or
    a root, vouch for a certificate in the middle, where the series wants the one before: then it is the milder one."""
    path = [POOL[number] for number in chain]
    trusted = [POOL[number] for number in sorted(roots)]
    simulated = simulate(certificates(*path), certificates(*trusted))
    broken = {finding.rule for finding in simulated.findings if finding.held is Held.BROKEN} & {8, 9, 10}
    answer = asked(path, *trusted)
    if not broken:
        assert answer.accepted is True
    if answer.accepted is False and answer.index == 0:
        assert broken & {8, 9}
    if broken & {8, 9}:
        assert answer.accepted is False
    assert simulated.answer is not Answer.UNKNOWN
