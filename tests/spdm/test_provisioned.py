"""A device without certificates is known by the public key that somebody brought, and by nothing it says itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.emulator.device import Device
from cmakeys.emulator.disclosure_settings import Disclosures
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MultiKey
from cmakeys.errors import UsageProblem
from cmakeys.evidence.live import _leaf_key
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.spdm import attesting, inquiry
from cmakeys.spdm.algorithms import BaseAsym
from cmakeys.spdm.attesting import SessionWish
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY, SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.codes import RequestCode, Version
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.provisioned import MAX_KEY_SIZE, KeyNotAllowed, ProvisionedKey
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.signing import SignatureProblem, verify_statement
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.verify.review import review
from tests.emulator.session_driver import Line
from tests.spdm.test_requester import Driver, device

SINCE = [version for version in Version if version >= Version.V11]
PEM = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def keyed(
    version: Version = Version.V12, key_type: KeyType = KeyType.ECDSA_P256, settings: DeviceSettings | None = None
) -> tuple[Device, ProvisionedKey]:
    """A device without certificates, and its public key."""
    made = device(key_type, replace(settings or DeviceSettings(versions=(version,)), provisioned_key=True))
    return made, ProvisionedKey.of(made.hardware.slots[0][0].chain[-1].public_key, "device")


def another_key() -> ProvisionedKey:
    return ProvisionedKey.of(ec.generate_private_key(ec.SECP256R1()).public_key(), "another")


@pytest.mark.parametrize("version", SINCE)
def test_the_key_proves_itself_without_any_certificate(version: Version) -> None:
    responder, key = keyed(version)
    requester, driver = Requester(key.offered(Offer())), Driver(responder.respond)
    driver.run(attesting.attest(requester, Plan(key=key)))
    asked = {message[1] for message in driver.sent}
    assert not asked & {RequestCode.GET_DIGESTS, RequestCode.GET_CERTIFICATE}
    challenge, measurements = requester.connection.challenge, requester.connection.measurements
    assert challenge is not None
    assert challenge.slot == SLOT_PROVISIONED_KEY
    verify_statement(challenge, key.public_key)
    assert measurements is not None
    assert measurements.statement.slot == SLOT_PROVISIONED_KEY_SHORT
    assert measurements.blocks
    verify_statement(measurements.statement, key.public_key)


@pytest.mark.parametrize("key_type", [KeyType.ECDSA_P384, KeyType.ED25519, KeyType.RSA_3072, KeyType.ML_DSA_65])
def test_every_kind_of_key_serves(key_type: KeyType) -> None:
    responder, key = keyed(Version.V14, key_type)
    requester = Requester(key.offered(Offer()))
    Driver(responder.respond).run(attesting.attest(requester, Plan(key=key)))
    assert requester.connection.challenge is not None
    verify_statement(requester.connection.challenge, key.public_key)


def test_another_key_is_told_by_the_hash_that_the_device_names() -> None:
    responder, _ = keyed()
    requester = Requester()
    with pytest.raises(ProtocolViolation, match="CertChainHash is not the hash of the provisioned public key"):
        Driver(responder.respond).run(attesting.attest(requester, Plan(key=another_key())))


def test_a_device_that_only_names_the_key_does_not_have_it() -> None:
    responder, key = keyed()
    (credentials,) = responder.hardware.slots[0]
    responder.hardware.slots = {0: (replace(credentials, key=credentials.key_type.generate()),)}
    requester = Requester()
    Driver(responder.respond).run(attesting.attest(requester, Plan(key=key)))
    assert requester.connection.challenge is not None
    with pytest.raises(SignatureProblem, match="does not verify"):
        verify_statement(requester.connection.challenge, key.public_key)


def test_without_the_key_the_answers_are_kept_for_whoever_has_it() -> None:
    responder, key = keyed()
    requester = Requester()
    Driver(responder.respond).run(attesting.attest(requester, Plan()))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    evidence = Evidence("emu", EvidenceKind.CONVERSATION, now, exchanges=tuple(requester.connection.exchanges))
    facts = review(evidence, key)
    assert facts.by_key
    assert not facts.unsupported
    assert "provisioned public key, which was not given" in review(evidence).unsupported
    assert facts.slot is None
    assert facts.challenge is not None
    verify_statement(facts.challenge, key.public_key)
    assert len(facts.measurements) == 1
    assert not review(evidence).violation
    wrong = review(evidence, another_key()).violation
    assert wrong is not None
    assert wrong.step == 11
    assert "provisioned public key" in wrong.message


def test_a_session_is_made_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    responder, key = keyed(settings=DeviceSettings(versions=(Version.V12,), sessions=SessionSettings()))
    requester = Requester(with_sessions(key.offered(Offer())))
    wish = SessionWish(Binding.PCI_DOE, _leaf_key)
    inside = Line(responder).run(attesting.attest(requester, Plan(key=key), wish=wish))
    assert inside
    now = datetime(2026, 1, 1, tzinfo=UTC)
    exchanges = (*requester.connection.exchanges, *inside)
    facts = review(Evidence("emu", EvidenceKind.CONVERSATION, now, exchanges=exchanges), key)
    assert facts.violation is None
    (statement,) = facts.sessions
    verify_statement(statement, key.public_key)
    assert not facts.measured_in_clear


def test_endpoint_information_is_signed_by_the_key() -> None:
    settings = DeviceSettings(versions=(Version.V13,), disclosures=Disclosures())
    responder, key = keyed(settings=settings)
    requester, driver = Requester(), Driver(responder.respond)
    driver.run(requester.connect())
    driver.run(inquiry.endpoint_info(requester, SLOT_PROVISIONED_KEY))
    assert requester.connection.endpoint_info is not None
    verify_statement(requester.connection.endpoint_info, key.public_key)


def test_a_key_is_not_for_a_device_with_certificates_and_no_slot_for_one_without() -> None:
    _, key = keyed()
    with pytest.raises(ProtocolViolation, match="does not announce"):
        Driver(device().respond).run(attesting.attest(Requester(), Plan(key=key)))
    with pytest.raises(ProtocolViolation, match="there is no slot 0"):
        Driver(keyed()[0].respond).run(attesting.attest(Requester(), Plan(slot=0)))


def test_only_the_algorithms_of_the_key_are_offered() -> None:
    key = another_key()
    assert key.offered(Offer()).base_asym == BaseAsym.ECDSA_P256
    assert not key.offered(Offer()).pqc_asym
    with pytest.raises(KeyNotAllowed, match="policy allows no algorithm"):
        key.offered(Offer(base_asym=BaseAsym.ECDSA_P384))


def test_settings_that_no_key_goes_with_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        DeviceSettings(provisioned_key=True)
    with pytest.raises(ValueError, match="several keys"):
        DeviceSettings(versions=(Version.V13,), multi_key=MultiKey.ONLY, provisioned_key=True)


@pytest.mark.parametrize("form", [PEM, (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)])
def test_a_key_is_read_back_in_either_form(form: tuple[Encoding, PublicFormat]) -> None:
    key = another_key()
    assert ProvisionedKey.parse(key.public_key.public_bytes(*form), "file").info == key.info


def test_a_key_that_the_peer_wrote_with_a_short_point_is_hashed_in_the_common_form() -> None:
    key = another_key()
    assert isinstance(key.public_key, ec.EllipticCurvePublicKey)
    short = key.public_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    parsed = ProvisionedKey.parse(prefix + short, "file")
    assert parsed.info == key.info
    assert len(parsed.info) == 91


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\n", "no public key"),
        (bytes(MAX_KEY_SIZE + 1), "larger than"),
        (another_key().public_key.public_bytes(*PEM) * 2, "more than one"),
        (x25519.X25519PrivateKey.generate().public_key().public_bytes(*PEM), "no algorithm"),
        (ec.generate_private_key(ec.SECP224R1()).public_key().public_bytes(*PEM), "no algorithm"),
    ],
)
def test_what_is_no_public_key_of_a_device_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        ProvisionedKey.parse(data, "file")


_KEY = another_key().info


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=8).map(lambda extra: _KEY[: 91 - len(extra)] + extra)))
def test_any_bytes_are_a_key_or_a_clean_error(data: bytes) -> None:
    try:
        key = ProvisionedKey.parse(data, "file")
    except UsageProblem as problem:
        assert problem.object == "file"  # noqa: PT017
    else:
        assert ProvisionedKey.parse(key.info, "file").info == key.info
