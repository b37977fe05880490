"""Fuzz revocation lists and OCSP responses: mutated bytes give the clean error or an answer that holds.

Runs alone as `python -m tests.fuzz.fuzz_revocation [seconds [seed]]`; what it finds is printed as a call that repeats
it. Whatever can be read is also held against a chain: that must raise nothing, and nothing that was changed may turn a
certificate that nothing spoke of into a revoked one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from cmakeys.reports.revocation import record_data, record_lines
from cmakeys.revocation.store import file_name
from cmakeys.x509.crl import RevocationList, RevocationProblem
from cmakeys.x509.ocsp import OcspResponse
from cmakeys.x509.revocation import RevocationRecords, Standing, check_revocation, read_revocation
from tests.fuzz.mutation import Finding, run
from tests.x509.pki import NOW, certificates
from tests.x509.revocations import DAY, UNKNOWN, chain, crl, crl_der, responder, response, scope

ROOT, MIDDLE, LEAF = chain()
CHAIN = certificates(ROOT, MIDDLE, LEAF)
ELSEWHERE = 4711
"""A serial number that no certificate of the chain has."""


class Believed(Exception):
    """A record was believed that nobody has signed."""


def corpus() -> tuple[bytes, ...]:
    """Lists and responses with everything in them that is looked at, none of them about the chain."""
    reasons = {ELSEWHERE: x509.ReasonFlags.key_compromise, ELSEWHERE + 1: None}
    name = x509.UniformResourceIdentifier("http://vendor.example/a.crl")
    stranger = responder(MIDDLE, not_after=NOW + DAY)
    delegated = response(stranger, MIDDLE, signer=responder(MIDDLE), status=ocsp.OCSPCertStatus.REVOKED)
    return (
        crl_der(MIDDLE, reasons),
        crl_der(MIDDLE, reasons, extensions=[scope(full_name=[name], only_contains_user_certs=True)]),
        crl_der(MIDDLE, reasons, extensions=[(x509.DeltaCRLIndicator(1), True), (UNKNOWN, False)]),
        crl(ROOT).parsed.public_bytes(Encoding.PEM),
        response(stranger, MIDDLE).der,
        delegated.der,
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
    )


def try_one(data: bytes) -> Finding | None:
    """Read `data` and use what it gives; anything but the clean error that names its file is a finding."""
    try:
        record = read_revocation(data, "fuzz")
        _use(record)
    except RevocationProblem as problem:
        return None if problem.object else Finding(data, problem)
    except Exception as error:
        return Finding(data, error)
    return None


def _use(record: RevocationList | OcspResponse) -> None:
    if isinstance(record, RevocationList):
        records = RevocationRecords(lists=(record,))
        _ = (record.entries, record.issuer_der, record.number)
    else:
        records = RevocationRecords(responses=(record,))
    for status in check_revocation(CHAIN, records, at=NOW):
        if status.standing is Standing.REVOKED:
            raise Believed(status.reason)
    _ = (file_name(record), record_data(record, NOW), record_lines(record, NOW))


def main(arguments: Sequence[str]) -> int:
    return run(corpus(), try_one, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
