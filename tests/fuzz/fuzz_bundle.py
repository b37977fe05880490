"""Fuzz the readers of certificates: mutate a corpus for a bounded time and demand that only the clean error comes out.

Runs alone as `python -m tests.fuzz.fuzz_bundle [seconds [seed]]`; what it finds is printed as a call that repeats it.
Whatever is read is then used by every other function of `cmakeys.x509`, none of which may raise anything at all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from cmakeys.x509 import chain, identity, lint
from cmakeys.x509.bundle import MAX_CHAIN_CERTIFICATES, SpdmChain, read_certificates, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from tests.fuzz.mutation import Finding, run
from tests.x509.pki import (
    FOREVER,
    LEAF_USAGE,
    NOW,
    certificates,
    device_chain,
    issue,
    other_name,
    pem,
    spdm_chain,
    subject_alt_name,
    utf8_string,
)


def corpus() -> tuple[bytes, ...]:
    """One small example of every form that can be read."""
    root, intermediate, leaf = certificates(*device_chain())
    named = issue(
        "Named",
        device_chain()[1],
        number=3,
        ca=False,
        key_usage=LEAF_USAGE,
        not_after=FOREVER,
        extensions=[
            (
                subject_alt_name(
                    other_name(identity.CMA_OID, utf8_string("Vendor=1b36:Device=0010:CC=010802:REV=02")),
                    other_name(identity.DMTF_OID, utf8_string("ACME:WIDGET:1")),
                ),
                False,
            )
        ],
    ).certificate
    parsed = [one.parsed for one in (root, intermediate, named)]
    return (
        named.der,
        root.der + intermediate.der + leaf.der,
        spdm_chain(48, root, intermediate, named),
        b"text\n" + pem(leaf) + b"more text\n" + pem(root),
        pkcs7.serialize_certificates(parsed, Encoding.DER),
        pkcs7.serialize_certificates(parsed, Encoding.PEM),
        issue("Edwards", kind="ed25519").certificate.der,
    )


def use(found: Sequence[Certificate]) -> None:
    """Do with certificates everything that cmakeys does with them."""
    for certificate in found:
        lint.lint_anchor(certificate, now=NOW)
        identity.has_dice_tcb_info(certificate)
        _ = (certificate.label, certificate.key_description, certificate.never_expires, certificate.fingerprint)
        chain.check_leaf_profile(certificate, spdm_minor=3, alias=True)
    few = found[:MAX_CHAIN_CERTIFICATES]
    chain.check_structure(few)
    chain.check_signatures(few)
    chain.check_validity(few, NOW)
    chain.find_anchor(few, few[:1])
    chain.find_anchor(few[1:], few[:1])
    chain.why_no_anchor(few, few[1:])


def _read_names(data: bytes) -> None:
    for certificate in read_certificates(data, "fuzz"):
        identity.leaf_names(certificate)


TARGETS: tuple[Callable[[bytes], None], ...] = (
    lambda data: use(read_certificates(data, "fuzz")),
    lambda data: use(split_der(data, "fuzz")),
    lambda data: use(SpdmChain.parse(data, 48, "fuzz").certificates),
    lambda data: use(chain.order_root_first(read_certificates(data, "fuzz"))),
    _read_names,
)


def try_one(data: bytes, targets: Sequence[Callable[[bytes], None]] = TARGETS) -> Finding | None:
    """Give `data` to every target; anything but silence or a `CertificateProblem` is a finding."""
    for target in targets:
        try:
            target(data)
        except CertificateProblem as problem:
            if not problem.object:
                return Finding(data, problem)
        except Exception as error:
            return Finding(data, error)
    return None


def main(arguments: Sequence[str]) -> int:
    return run(corpus(), try_one, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
