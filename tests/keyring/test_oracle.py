"""Asking the real kernel about chains. RSA everywhere, because a kernel may lack everything else; that is asked too."""

from __future__ import annotations

import errno
import gc
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.cma import Keyring
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Serial, SpecialRing
from cmakeys.keyring.managed import apply
from cmakeys.keyring.oracle import ROOTS, SCRATCH, Oracle, OracleAnswer, anchored_in, ask
from cmakeys.keyring.trial import try_certificate
from cmakeys.roots.root import Root
from cmakeys.verify.kernelview import Answer, Held, simulate
from tests.keyring.kernel import TestingKeyctl, become_nobody, in_child
from tests.x509.pki import Issued, authority, certificates, device_chain, issue, leaf_of

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]

ROOT, INTERMEDIATE, LEAF = device_chain("rsa2048")
OTHER = issue("Other", kind="rsa2048", number=5)
ANCIENT = issue("Ancient", kind="rsa2048", number=8, not_before=datetime(1960, 1, 1, tzinfo=UTC))
"""A root whose dates the kernel's parser does not read."""
FORGED = leaf_of(INTERMEDIATE, kind="rsa2048", signing_key=issue("Forger", kind="rsa2048", number=9).key)


class Recording(Keyctl):
    """Notes every key that is made, by its description."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, Serial] = {}
        self.count: Counter[str] = Counter()

    def add_key(self, key_type: str, description: str, payload: bytes | None, ring: Serial | SpecialRing) -> Serial:
        serial = super().add_key(key_type, description, payload, ring)
        self.made[description] = serial
        self.count[description] += 1
        return serial


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


def test_a_kernel_without_the_algorithm_has_no_opinion() -> None:
    modern = issue("Modern", kind="ed25519")
    answer = asked((modern,), ROOT)
    assert answer.accepted is None
    assert "lacks an algorithm" in answer.reason


def test_a_root_that_the_kernel_does_not_load_counts_only_for_chains_below_it() -> None:
    below = issue("Below", ANCIENT, kind="rsa2048", number=3)
    missed = asked((below,), ROOT, ANCIENT)
    assert (missed.accepted, missed.errno) == (None, "ENOKEY")
    assert "it does not load the root CN=Ancient" in missed.reason
    assert asked((INTERMEDIATE, LEAF), ROOT, ANCIENT).accepted is True
    assert asked((INTERMEDIATE, LEAF), ANCIENT).accepted is False


def test_a_chain_of_elliptic_curves_is_believed_or_the_kernel_has_no_opinion(kernel: TestingKeyctl) -> None:
    """Kernels without ECDSA exist: that such a one does not find the root, or an older one of its name, is nothing
    against the chain."""
    chain = device_chain("p384")
    loads = try_certificate(chain[0].certificate, keyctl=kernel).code == "this-kernel-loads"
    for start in (0, 1):
        answer = asked(chain[start:], chain[0], ROOT)
        assert answer.accepted is (True if loads else None), answer


def test_the_roots_are_loaded_once_for_many_chains() -> None:
    recording = Recording()
    oracle = Oracle(anchors(OTHER, ROOT), keyctl=recording)
    for _ in range(3):
        assert oracle.ask(certificates(INTERMEDIATE, LEAF)).accepted
        assert oracle.ask(certificates(LEAF)).accepted is False
    loaded = [number for description, number in recording.count.items() if description.startswith("cmakeys:")]
    assert loaded == [1, 1]


def test_the_roots_go_with_the_one_who_asked() -> None:
    recording = Recording()
    oracle = Oracle(anchors(ROOT), keyctl=recording)
    oracle.ask(certificates(LEAF))
    serial = recording.made[ROOTS]
    assert recording.describe(serial).description == ROOTS
    del oracle
    gc.collect()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            recording.describe(serial)
        except KeyctlError:
            return
        time.sleep(0.01)
    pytest.fail("the ring of the roots is still there")


def test_a_user_with_a_small_quota_can_ask_about_many_devices() -> None:
    """A user other than root may hold 200 keys, and the kernel takes its time to forget one."""

    def ask_often() -> None:
        become_nobody()
        oracle = Oracle(anchors(OTHER, ROOT))
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: oracle.ask(certificates(ROOT, INTERMEDIATE, LEAF)), range(100)))
        assert all(answer.accepted for answer in answers)

    assert in_child(ask_often) == 0


def test_without_room_for_the_roots_there_is_no_answer_and_no_opinion() -> None:
    class Full(Keyctl):
        def add_key(self, key_type: str, description: str, payload: bytes | None, ring: Serial | SpecialRing) -> Serial:
            if key_type == "asymmetric":
                raise KeyctlError(errno.EDQUOT, "add_key", ring)
            return super().add_key(key_type, description, payload, ring)

    oracle = Oracle(anchors(ROOT), keyctl=Full())
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match="quota"):
            oracle.ask(certificates(LEAF))


def test_a_key_identifier_that_only_a_lookup_minds_is_no_refusal() -> None:
    """The series verifies with the key of the certificate above, whoever is named; we compare the names."""
    wrong = authority(INTERMEDIATE, key_id=bytes(20), by_name=False)
    answer = asked((ROOT, INTERMEDIATE, leaf_of(INTERMEDIATE, kind="rsa2048", extensions=[wrong])), ROOT)
    assert (answer.accepted, answer.index, answer.errno) == (None, 2, "ENOKEY")
    assert "by key identifier" in answer.reason
    elsewhere = leaf_of(INTERMEDIATE, kind="rsa2048", issuer_name="Somebody else")
    assert asked((ROOT, INTERMEDIATE, elsewhere), ROOT).accepted is False


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


POOL = (
    *(ROOT, INTERMEDIATE, LEAF, OTHER, FORGED),
    leaf_of(INTERMEDIATE, kind="rsa2048", not_after=datetime(2021, 1, 1, tzinfo=UTC)),
    leaf_of(ROOT, kind="rsa2048", number=4),
    issue("No CA", ROOT, kind="rsa2048", number=6, ca=False),
    leaf_of(INTERMEDIATE, kind="rsa2048", issuer_name="Somebody else"),
    leaf_of(INTERMEDIATE, kind="rsa2048", subject_key_id=False),
    issue("Test Root", kind="rsa2048", number=7),
    *(
        leaf_of(ROOT, kind="rsa2048", number=4, extensions=[extension])
        for extension in (
            authority(ROOT),
            authority(ROOT, by_name=False),
            authority(ROOT, serial=7),
            authority(ROOT, key_id=bytes(20)),
            authority(ROOT, key_id=bytes(20), by_name=False),
            authority(OTHER),
        )
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(
    st.lists(st.sampled_from(range(len(POOL))), min_size=1, max_size=4),
    st.sets(st.sampled_from(range(len(POOL))), max_size=3),
)
def test_the_simulation_agrees_with_the_kernel_about_lookup_and_signatures(chain: list[int], roots: set[int]) -> None:
    """Rules 8 to 10; the others the oracle's kind of keyring does not have. For a certificate in the middle the series
    takes the key of the one before; the oracle looks its issuer up, among the roots too: it may be milder or stricter.
    """
    path = [POOL[number] for number in chain]
    trusted = [POOL[number] for number in sorted(roots)]
    simulated = simulate(certificates(*path), certificates(*trusted))
    held = {finding.rule: finding.held for finding in simulated.findings}
    broken = {rule for rule in (8, 9, 10) if held[rule] is Held.BROKEN}
    if held[8] is Held.HOLDS and held[9] is Held.UNKNOWN:
        return  # it says itself that it cannot know
    answer = asked(path, *trusted)
    if not broken:
        assert answer.accepted is True or (answer.index and answer.errno == "ENOKEY")
    if answer.accepted is False and answer.index == 0:
        assert broken & {8, 9}
    if broken & {8, 9}:
        assert answer.accepted is False
    assert simulated.answer is not Answer.UNKNOWN
