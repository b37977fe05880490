"""Fuzz the readers of certificates: mutate a corpus for a bounded time and demand that only the clean error comes out.

Runs alone as `python -m tests.fuzz.fuzz_bundle [seconds [seed]]`; what it finds is printed as a call that repeats it.
Whatever is read is then used by every other function of `cmakeys.x509`, none of which may raise anything at all.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from cmakeys.x509 import chain, identity, lint
from cmakeys.x509.bundle import MAX_CHAIN_CERTIFICATES, SpdmChain, read_certificates, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
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

INTERESTING = (0x00, 0x01, 0x06, 0x0C, 0x2D, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xA3, 0xFF)


@dataclass(frozen=True)
class Finding:
    """An input on which something else than the clean error came out."""

    data: bytes
    error: Exception


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


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, cut a piece out, double one, or cut the end off."""
    buffer = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not buffer:
            break
        at = rng.randrange(len(buffer))
        size = min(rng.choice((1, 1, 2, 4, 16, 400)), len(buffer) - at)
        match rng.randrange(7):
            case 0:
                buffer[at] ^= 1 << rng.randrange(8)
            case 1:
                buffer[at] = rng.choice(INTERESTING)
            case 2:
                buffer[at : at + size] = rng.randbytes(size)
            case 3:
                del buffer[at : at + size]
            case 4:
                buffer[at:at] = buffer[at : at + size]
            case 5:
                del buffer[len(buffer) - size :]
            case _:
                other = rng.randrange(len(buffer))
                buffer[at : at + size] = buffer[other : other + size]
    return bytes(buffer)


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


def fuzz(seconds: float, seed: int) -> tuple[int, Finding | None]:
    """Run until `seconds` are over or something is found; returns how many inputs were tried, and the finding."""
    rng = random.Random(seed)
    seeds = corpus()
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried += 1
        finding = try_one(mutate(rng.choice(seeds), rng))
        if finding:
            return tried, finding
    return tried, None


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    tried, finding = fuzz(seconds, seed)
    print(f"seed {seed}: {tried} inputs tried")
    if finding:
        print(f"try_one(bytes.fromhex({finding.data.hex()!r}))\n  {finding.error!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
