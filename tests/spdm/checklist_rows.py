"""What a careful requester must verify, claim by claim: which lie tells the opposite, and in what words it is caught.

A row stands under its line of the reference's list (wire reference §11.3). Its lie is one that the emulated device
knows; the step at which it must be caught is the lie's own, so that the two tables cannot contradict each other. A lie
that SPDM allows must be borne, and what was made of it is in the verdict.

What no lie of a device can show, because it is about us or about the line, stands in `HELD` with its test.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.algorithms import BaseAsym, BaseHash
from cmakeys.spdm.codes import Version
from cmakeys.verify.policy import Policy

LINES = 17
"""Lines of the list."""


@dataclass(frozen=True, slots=True)
class Row:
    """One claim, and the lie against it. `words` are part of the finding: the field or object that is to blame.

    With a `policy` it is this policy that the device must fail, at step 1, whatever else is wrong with it.
    """

    line: int
    claim: str
    lie: str
    words: str
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """One claim that a test of another kind holds: `file` is its place under tests."""

    line: int
    claim: str
    file: str
    test: str


NOT_BEFORE_1_2 = Policy(versions=frozenset({Version.V12, Version.V13, Version.V14}))
NO_RSA_2048 = Policy(asym=Policy().asym & ~(BaseAsym.RSASSA_2048 | BaseAsym.RSAPSS_2048))
NO_SHA_256 = Policy(hashes=BaseHash.SHA_384 | BaseHash.SHA_512)


ROWS: tuple[Row, ...] = (
    Row(1, "one version in common is needed", "version-empty", "VERSION lists no version"),
    Row(1, "a signature comes before any trust", "proves-nothing", "an identity that nothing proves"),
    Row(1, "no version below the remembered one", "version-downgrade", "weaker than last time: SPDM 1.1"),
    Row(1, "no version below policy", "version-downgrade", "SPDM 1.1 is not allowed", NOT_BEFORE_1_2),
    Row(1, "the highest version in common", "version-order", "SPDM 1.3"),
    Row(1, "VERSION is covered by a signature", "version-tampered", "signature does not verify"),
    Row(1, "CAPABILITIES is covered by a signature", "capabilities-tampered", "signature does not verify"),
    Row(1, "ALGORITHMS is covered by a signature", "algorithms-tampered", "signature does not verify"),
    Row(2, "capabilities need what they build on", "capabilities-inconsistent", "proofs without CERT_CAP"),
    Row(2, "reserved values are refused", "capabilities-illegal-measurement", "MEAS_CAP has the reserved value 3"),
    Row(2, "CTExponent has a bound", "ct-exponent-too-large", "CTExponent 32"),
    Row(2, "one signature algorithm", "two-selection-bits-asym", "BaseAsymSel"),
    Row(2, "one hash", "two-selection-bits-hash", "BaseHashSel 0x3 selects more than one"),
    Row(2, "one measurement hash", "two-selection-bits-measurement-hash", "MeasurementHashAlgo 0x6"),
    Row(2, "a hash is selected", "no-hash-selection", "no hash is selected"),
    Row(
        2,
        "a measurement specification of the offer",
        "measurement-specification-unoffered",
        "MeasurementSpecificationSel is 0x2",
    ),
    Row(
        2, "a log specification of the offer", "log-specification-unoffered", "MELspecificationSel 0x1 was not offered"
    ),
    Row(2, "ALGORITHMS has its length", "algorithms-length", "Length says 40 bytes"),
    Row(2, "a signature algorithm of the offer", "superset-selection", "BaseAsymSel 0x200 was not offered"),
    Row(2, "a hash of the offer", "superset-selection-hash", "BaseHashSel 0x40 was not offered"),
    Row(2, "a signature algorithm is selected", "no-selection", "no signature algorithm is selected"),
    Row(2, "classic or post-quantum, not both", "classic-and-pqc-selection", "BaseAsymSel and PqcAsymSel"),
    Row(2, "no external algorithm", "external-selection", "external algorithms are selected"),
    Row(2, "an opaque format of the offer", "opaque-format-unoffered", "opaque data format 0x1 was not offered"),
    Row(2, "only tables that were asked", "struct-table-unoffered", "struct table 5 was not offered"),
    Row(2, "each once and in order", "struct-table-repeated", "is out of order or repeated"),
    Row(2, "none of external algorithms", "struct-table-external", "selects external algorithms"),
    Row(2, "a key agreement of the offer", "group-not-offered", "struct table 2 0x40 was not offered"),
    Row(2, "one key agreement", "two-groups", "struct table 2 0x38 selects more than one"),
    Row(2, "DHE or KEM, not both", "group-and-kem", "DHE and KEM are both selected"),
    Row(2, "a cipher of the offer", "cipher-not-offered", "struct table 3 0x8 was not offered"),
    Row(2, "a cipher is selected", "no-cipher", "AEAD selection 0x0"),
    Row(2, "no algorithm below policy", "algorithm-of-another-key", "RSASSA-2048 signatures are not", NO_RSA_2048),
    Row(2, "no hash below policy", "hash-weak", "SHA-256 is not allowed", NO_SHA_256),
    Row(3, "DataTransferSize is 42 or more", "data-transfer-size-too-small", "DataTransferSize 41 is below"),
    Row(3, "and not above MaxSPDMmsgSize", "message-size-below-transfer-size", "is below DataTransferSize"),
    Row(3, "which are one without chunks", "message-size-without-chunking", "without CHUNK_CAP"),
    Row(3, "a chain has a bound", "endless-portions", "says 0 bytes and has 65535"),
    Row(3, "also where it is only promised", "remainder-too-large", "more than 65535"),
    Row(3, "also in the large form", "endless-large-portions", "the chain of slot 0 is 4294967295 bytes, more than"),
    Row(3, "a large message has a bound", "chunk-huge", "LargeMessageSize 4294967295 exceeds"),
    Row(3, "a record of measurements has a bound", "measurement-record-huge", "MeasurementRecord needs 16777215 bytes"),
    Row(3, "no request exceeds MaxSPDMmsgSize", "message-size-below-challenge", "messages of at most 42 bytes"),
    Row(4, "the code is that of the answer", "wrong-response-code", "where DIGESTS (0x01) is expected"),
    Row(4, "the version is the negotiated one", "wrong-version-byte", "version byte 1.2 where 1.3 was asked"),
    Row(4, "also in a handshake", "exchange-wrong-version-byte", "version byte 1.2 on a connection of version 1.3"),
    Row(4, "the code in a session", "heartbeat-wrong-code", "answered with code 0x69, not 0x68"),
    Row(4, "what is put off is what was asked", "not-ready-wrong-code", "ResponseNotReady names request 0x81"),
    Row(4, "for a time that there is", "not-ready-illegal-delay", "ResponseNotReady with RDTExponent 40"),
    Row(4, "the token given is the one taken", "not-ready-wrong-token", "INVALID_REQUEST"),
    Row(4, "not before ALGORITHMS", "not-ready-early", "not allowed before ALGORITHMS"),
    Row(4, "retries of a busy device are limited", "busy-forever", "still busy after 4 attempts"),
    Row(4, "rounds of waiting are limited", "not-ready-forever", "not ready after 3 rounds"),
    Row(4, "a wait fits into the deadline", "not-ready-too-long", "more than the 0 s allowed"),
    Row(4, "silence ends", "silence", "no answer in time"),
    Row(5, "CHALLENGE_AUTH signs our nonce", "replayed-signature", "challenge_auth signing"),
    Row(5, "MEASUREMENTS signs our nonce", "replayed-measurements", "measurements signing"),
    Row(5, "KEY_EXCHANGE_RSP signs our random data", "exchange-replayed-signature", "answer to KEY_EXCHANGE"),
    Row(5, "the device's nonce is fresh too", "nonce-reuse", "signed twice with the same nonce"),
    Row(6, "CERTIFICATE is of our slot", "wrong-slot", "slot 1 answered where slot 0 was asked"),
    Row(6, "CHALLENGE_AUTH is of our slot", "challenge-wrong-slot", "slot 1 answered where slot 0 was challenged"),
    Row(6, "its bit is in the mask", "missing-slot-bit", "lacks the challenged slot 0"),
    Row(6, "some slot is provisioned", "no-slots", "no slot holds a certificate chain"),
    Row(6, "and supported", "slot-not-supported", "are provisioned, only"),
    Row(6, "the chain has the digest of DIGESTS", "digest-mismatch", "does not have the digest"),
    Row(6, "and of CHALLENGE_AUTH", "chain-hash-mismatch", "CertChainHash is not the hash of the chain"),
    Row(7, "portions fit what was asked", "overlong-portion", "a portion of 4097 bytes where 4096 were asked"),
    Row(7, "portions are not empty", "zero-portion", "an empty portion of slot 0"),
    Row(7, "the remainder is consistent", "remainder-change", "bytes long and is now"),
    Row(7, "the structure's length is the chain's", "chain-length-mismatch", "the chain of slot 0 says"),
    Row(7, "certificates fill the structure", "chain-trailing-byte", "1 bytes after the last certificate"),
    Row(7, "there is one", "chain-empty", "there is no certificate in it"),
    Row(7, "and whole", "chain-cut", "certificate 2 is not DER"),
    Row(7, "and the leaf the last", "chain-reversed", "the leaf is first"),
    Row(7, "the root hash is the root's", "root-hash-mismatch", "root hash"),
    Row(7, "each certificate is issued by the one before", "chain-gap", "issuer is"),
    Row(7, "and signed by it", "chain-broken-signature", "signature by CN=Acme Test Device CA"),
    Row(7, "the leaf too", "forged-leaf", "signature by CN=Acme Test Device CA"),
    Row(7, "the path ends at a configured anchor", "impostor", "the chain begins with"),
    Row(7, "nothing has expired", "expired-leaf", "expired on 2002-01-01"),
    Row(7, "nothing begins later", "not-yet-valid-leaf", "is not valid before 9000-01-01"),
    Row(7, "nor has an issuer expired", "expired-intermediate", "CN=Acme Test Device CA,O=Acme expired on"),
    Row(7, "key usage of the leaf", "leaf-wrong-key-usage", "keyUsage lacks digitalSignature"),
    Row(7, "which has one", "leaf-no-key-usage", "no keyUsage, digitalSignature is needed"),
    Row(7, "and of its issuer", "intermediate-no-cert-sign", "keyUsage lacks keyCertSign"),
    Row(7, "nothing critical that is unknown", "leaf-unknown-critical", "is not understood"),
    Row(7, "extended key usage of the leaf", "leaf-requester-only", "as an SPDM requester onl"),
    Row(7, "issuers are CAs", "intermediate-not-ca", "is not a CA"),
    Row(7, "the leaf is none", "ca-leaf", "the last certificate is a CA"),
    Row(7, "and says so", "leaf-no-basic-constraints", "no basicConstraints"),
    Row(7, "path lengths", "path-too-long", "allows 0 CA certificates below it"),
    Row(7, "SPDM's own extension", "alias-claims-hardware", "an alias certificate claims the hardware id"),
    Row(7, "the name of the function", "leaf-wrong-name", "the leaf names Vendor=dead"),
    Row(7, "which is there", "leaf-no-name", "the leaf has no PCIe name"),
    Row(7, "and no other", "leaf-two-names", "the leaf names Vendor=dead"),
    Row(7, "as it is written", "leaf-upper-case-name", "the leaf names VEnDor"),
    Row(7, "and can be read", "leaf-unreadable-name", "is not one UTF8String"),
    Row(7, "the key is of the negotiated kind", "algorithm-of-another-key", "cannot make the negotiated RSASSA-2048"),
    Row(8, "MEASUREMENTS is of our slot", "measurements-wrong-slot", "slot 1 signed where slot 0 was asked"),
    Row(8, "the key is that of the chain", "stolen-chain", "signature does not verify"),
    Row(8, "and signs what was measured", "measurements-tampered", "measurements signing"),
    Row(8, "as measurements", "measurements-wrong-signature-context", "measurements signing"),
    Row(8, "blocks have an index", "wrong-measurement-index", "the reserved index 0"),
    Row(8, "there are some", "no-measurements", "no block in the answer"),
    Row(8, "as many as are counted", "measurement-count-wrong", "block needs 7 bytes"),
    Row(8, "and each its own", "duplicate-measurement-index", "two blocks have the same index"),
    Row(8, "blocks have a known form", "measurement-spec-wrong", "not DMTF"),
    Row(8, "and the size of the hash", "measurement-digest-size", "a digest of 47 bytes"),
    Row(8, "sizes agree", "measurement-sizes-contradict", "MeasurementSize 50 is not 3 + value size 48"),
    Row(8, "blocks fill the record", "measurement-trailing-bytes", "3 bytes after the last of 7 blocks"),
    Row(8, "what changed is read again", "content-changed", "measurements changed while they were read"),
    Row(8, "and taken once it holds still", "content-changed-once", "are signed with the leaf's key"),
    Row(9, "CHALLENGE_AUTH echoes our context", "wrong-context-echo", "RequesterContext is not the one"),
    Row(9, "MEASUREMENTS echoes our context", "measurements-wrong-context-echo", "RequesterContext is not the one"),
    Row(10, "opaque data has a bound", "oversize-opaque", "OpaqueLength 1025"),
    Row(10, "in MEASUREMENTS", "measurements-oversize-opaque", "OpaqueLength 1025"),
    Row(10, "in KEY_EXCHANGE_RSP", "exchange-oversize-opaque", "OpaqueLength 1025"),
    Row(10, "and a format", "opaque-without-format", "no opaque format was negotiated"),
    Row(10, "elements fill it", "exchange-spoiled-opaque", "4 bytes after the last of 1 opaque elements"),
    Row(10, "a version of the offer", "secured-version-old", "0x0f, which was not offered"),
    Row(10, "one version and no other", "secured-version-twice", "two secured-message elements of kind 0"),
    Row(10, "one version at least", "secured-version-none", "selected for secured messages is none"),
    Row(10, "elements have a registry", "opaque-of-nobody", "undefined registry 12"),
    Row(10, "and a meaning", "secured-element-unknown", "unknown secured-message element 9"),
    Row(10, "a limit of records can be counted", "record-limit-too-large", "AEAD limit exponent 65"),
    Row(10, "opaque data where it has to be", "exchange-without-opaque", "TotalElements needs 1 bytes"),
    Row(11, "KEY_EXCHANGE_RSP is signed", "exchange-bad-signature", "signature does not verify"),
    Row(11, "as one", "exchange-wrong-context", "signature does not verify"),
    Row(11, "and in its version", "exchange-wrong-version", "signature does not verify"),
    Row(11, "a point is on its curve", "exchange-spoiled-share", "not on the curve"),
    Row(11, "and not nothing", "exchange-zero-share", "not on the curve"),
    Row(11, "of no other curve", "exchange-other-group", "not on the curve"),
    Row(11, "a finite field's value is not 0", "exchange-field-zero", "not between 2 and p - 2"),
    Row(11, "nor 1", "exchange-field-one", "not between 2 and p - 2"),
    Row(11, "nor -1", "exchange-field-minus-one", "not between 2 and p - 2"),
    Row(11, "nor the modulus", "exchange-field-modulus", "not between 2 and p - 2"),
    Row(11, "a ciphertext has its length", "exchange-short-ciphertext", "OpaqueData needs 256 bytes"),
    Row(11, "and is ours", "exchange-spoiled-ciphertext", "ResponderVerifyData does not verify"),
    Row(11, "the signature comes before the key", "exchange-forged", "signature does not verify"),
    Row(11, "the handshake's HMAC", "exchange-wrong-proof", "ResponderVerifyData does not verify"),
    Row(11, "in FINISH_RSP", "finish-wrong-proof", "answer to FINISH: ResponderVerifyData"),
    Row(11, "with a pre-shared key", "psk-wrong-proof", "answer to PSK_EXCHANGE: ResponderVerifyData"),
    Row(11, "MutAuthRequested is defined", "mutual-illegal", "MutAuthRequested 0x3 is not defined"),
    Row(11, "and negotiated", "mutual-not-negotiated", "mutual authentication is requested"),
    Row(11, "a heartbeat too", "heartbeat-not-negotiated", "a heartbeat of 7 s"),
    Row(
        11, "CHALLENGE_AUTH asks for nothing else", "mutual-authentication-asked", "mutual authentication is requested"
    ),
    Row(11, "who we are has an end", "endless-questions", "more than 4096 encapsulated requests"),
    Row(12, "a record is of its session", "record-other-session", "a record of session"),
    Row(12, "and next in line", "record-skips-sequence", "record 0001 where 0000 is due"),
    Row(12, "and not heard before", "record-replayed", "record 0000 where 0001 is due"),
    Row(12, "nor another with its number", "record-same-sequence", "record 0000 where 0001 is due"),
    Row(12, "and of its length", "record-truncated", "is cut short"),
    Row(12, "and authentic", "record-bad-mac", "the MAC of a record does not verify"),
    Row(12, "before anything is read in it", "record-spoiled-text", "the MAC of a record does not verify"),
    Row(12, "the inner length fits", "record-inner-length", "application data of 65535 bytes"),
    Row(12, "and is there", "record-no-text", "application data of 0 bytes in a record that holds 0"),
    Row(12, "and holds a message", "record-other-type", "message type 0x7e"),
    Row(12, "keys change when they must", "key-update-old-key", "not under the new key"),
    Row(13, "the operation is echoed", "key-update-wrong-operation", "operation 0 with tag"),
    Row(13, "the tag is echoed", "key-update-wrong-tag", "operation 2 with tag"),
    Row(13, "new keys are verified", "key-update-unverified", "KEY_UPDATE: the device answered ERROR"),
    Row(14, "chunks carry their handle", "chunk-wrong-handle", "handle 0 in a transfer with handle 1"),
    Row(14, "and their number", "chunk-skip-sequence", "chunk 2 where 1 is due"),
    Row(14, "and no more than announced", "chunk-overflow", "chunks add up to"),
    Row(14, "and no less", "chunk-underflow", "is marked last at"),
    Row(14, "and the end where it is", "chunk-early-last", "chunk 0 is marked last at"),
    Row(14, "and not later", "chunk-never-last", "is not marked last at"),
    Row(14, "without end they end", "chunk-endless", "262144 were announced"),
    Row(14, "none is empty", "chunk-empty", "is empty"),
    Row(14, "none is too small for its message", "chunk-short", "is a message of less than 42 bytes"),
    Row(14, "none where none were agreed", "large-response-unnegotiated", "chunking was not negotiated"),
    Row(14, "acknowledgements are of the transfer", "chunk-ack-wrong-handle", "acknowledges chunk 0 of transfer 1"),
    Row(14, "no large message in another", "nested-large-response", "LargeResponse inside a chunked response"),
    Row(14, "acknowledgements are of the chunk", "chunk-ack-wrong-sequence", "acknowledges chunk 1"),
    Row(15, "no ERROR in the clear to a session", "record-in-the-clear", "a record of 4 bytes is cut short"),
    Row(15, "no whole answer in the clear either", "measurements-in-the-clear", "a record of session"),
    Row(15, "nor one dressed up as a record", "measurements-without-key", "the MAC of a record does not verify"),
    Row(16, "a new start has its limit", "resync-forever", "asked to start again 3 times"),
    Row(16, "a new start forgets the transcripts", "resync-once", "is signed with the leaf's"),
    Row(16, "and what was negotiated", "resync-to-less", "SPDM 1.2"),
    Row(17, "a chain of a stranger is not trusted", "impostor", "the chain begins with"),
)

HELD: tuple[Held, ...] = (
    Held(
        1,
        "a version below the highest in common",
        "spdm/test_checklist.py",
        "test_a_lower_version_than_both_sides_have_is_refused",
    ),
    Held(
        1,
        "no trust without a signature",
        "spdm/test_checklist.py",
        "test_a_device_that_signed_nothing_is_not_trusted",
    ),
    Held(2, "each rule of capabilities", "spdm/test_rules.py", "test_every_flag_rule_has_a_case_that_breaks_it"),
    Held(3, "requests fit the device", "spdm/test_checklist.py", "test_no_request_is_larger_than_the_device_takes"),
    Held(3, "a log fits", "spdm/test_inventory.py", "test_a_log_that_contradicts_itself_is_a_violation"),
    Held(3, "and ends", "spdm/test_inquiry.py", "test_a_log_that_never_ends_is_given_up"),
    Held(3, "an object fits", "transports/test_doe.py", "test_an_object_beyond_the_limit_is_aborted_before_it_is_read"),
    Held(3, "a frame is not too short", "transports/test_framing.py", "test_a_wrong_frame_says_what_is_wrong"),
    Held(3, "an object is not too short", "transports/test_doe.py", "test_a_failed_exchange_is_temporary_and_aborted"),
    Held(
        4,
        "a message has its time",
        "transports/test_drive.py",
        "test_a_message_gets_its_own_time_but_never_more_than_is_left",
    ),
    Held(4, "a wait fits the deadline", "transports/test_drive.py", "test_a_wait_beyond_the_deadline_is_not_begun"),
    Held(
        4,
        "silence ends on the line",
        "transports/test_emulator_socket.py",
        "test_silence_ends_at_the_deadline_and_the_connection_with_it",
    ),
    Held(5, "nothing random twice", "spdm/test_checklist.py", "test_nothing_random_is_used_twice"),
    Held(
        7, "the key has the negotiated size", "spdm/test_checklist.py", "test_a_key_of_another_size_makes_no_signature"
    ),
    Held(
        8, "what changed is asked again", "spdm/test_checklist.py", "test_measurements_that_changed_are_asked_for_again"
    ),
    Held(
        11,
        "no key before the signature",
        "spdm/test_checklist.py",
        "test_no_key_is_agreed_on_before_the_signature_holds",
    ),
    Held(11, "proofs in constant time", "spdm/test_checklist.py", "test_proofs_are_compared_in_constant_time"),
    Held(11, "a ciphertext's length", "spdm/test_agreement.py", "test_a_value_of_another_length_is_refused"),
    Held(12, "one failure is the last", "spdm/test_secured.py", "test_one_bad_record_is_the_last_one"),
    Held(12, "and ends the session", "spdm/test_session.py", "test_one_failed_mac_ends_the_session"),
    Held(
        12,
        "no other session",
        "emulator/test_sessions.py",
        "test_a_record_that_does_not_authenticate_ends_its_session_and_no_other",
    ),
    Held(15, "the frame says so too", "transports/test_framing.py", "test_an_answer_must_be_as_secured_as_its_request"),
    Held(
        15,
        "nor in a file",
        "verify/test_sessions.py",
        "test_measurements_taken_out_of_their_session_are_not_taken_for_more",
    ),
    Held(
        16,
        "an answer that never comes",
        "spdm/test_session.py",
        "test_a_request_whose_answer_never_comes_ends_the_session",
    ),
    Held(
        16, "a line that broke", "transports/test_drive.py", "test_trouble_of_the_transport_ends_the_flow_and_is_raised"
    ),
    Held(16, "any state begins anew", "spdm/test_requester.py", "test_every_state_of_a_connection_can_start_again"),
    Held(16, "a new start ends sessions", "spdm/test_checklist.py", "test_no_key_is_left_of_a_session_that_is_over"),
    Held(16, "no key outlives its session", "spdm/test_checklist.py", "test_no_key_is_left_of_a_session_that_is_over"),
    Held(16, "no key in what is kept", "spdm/test_checklist.py", "test_nothing_that_is_kept_holds_a_key"),
    Held(17, "no authority at all", "spdm/test_checklist.py", "test_a_chain_without_any_authority_is_not_trusted"),
)
