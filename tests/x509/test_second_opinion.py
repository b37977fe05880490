"""Our explicit rules against the library's path validation, on chains that are broken in one way each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from cmakeys.x509.chain import check_signatures, check_structure, check_validity
from tests.x509.pki import LEAF_USAGE, NOW, Issued, certificates, device_chain, issue, leaf_of, make_key

ROOT, INTERMEDIATE, _ = device_chain()


def mutated_chains() -> dict[str, Callable[[], tuple[Issued, ...]]]:
    """Chains on which our rules and the library's path validation must agree."""

    def with_intermediate(**changes: object) -> tuple[Issued, ...]:
        intermediate = issue("Test Intermediate", ROOT, **{"number": 1, **changes})  # type: ignore[arg-type]
        return ROOT, intermediate, leaf_of(intermediate)

    def deep() -> tuple[Issued, ...]:
        root = issue("Root", path_length=0)
        one = issue("One", root, number=1)
        return root, one, leaf_of(one)

    return {
        "sound": device_chain,
        "intermediate is no CA": lambda: with_intermediate(ca=False),
        "intermediate may not sign": lambda: with_intermediate(key_usage=LEAF_USAGE),
        "intermediate expired": lambda: with_intermediate(not_after=NOW - timedelta(days=1)),
        "intermediate not yet valid": lambda: with_intermediate(not_before=NOW + timedelta(days=1)),
        "intermediate forged": lambda: with_intermediate(signing_key=make_key("p256", 9)),
        "intermediate misnamed": lambda: with_intermediate(issuer_name="Other"),
        "leaf forged": lambda: (ROOT, INTERMEDIATE, leaf_of(INTERMEDIATE, signing_key=make_key("p256", 9))),
        "leaf expired": lambda: (ROOT, INTERMEDIATE, leaf_of(INTERMEDIATE, not_after=NOW - timedelta(days=1))),
        "path too long": deep,
        "unknown critical extension": lambda: with_intermediate(
            extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
        ),
    }


@pytest.mark.parametrize("case", mutated_chains())
def test_the_library_s_path_validation_gives_the_same_verdict(case: str) -> None:
    root, *others = certificates(*mutated_chains()[case]())
    ours = (*check_structure((root, *others)), *check_signatures((root, *others)), *check_validity(others, NOW))
    permissive = ExtensionPolicy.permit_all()
    ca_policy = permissive.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None).may_be_present(
        x509.KeyUsage, Criticality.AGNOSTIC, lambda _policy, _certificate, found: _must_sign(found)
    )
    verifier = (
        PolicyBuilder()
        .store(Store([root.parsed]))
        .time(NOW)
        .extension_policies(ca_policy=ca_policy, ee_policy=permissive)
        .build_client_verifier()
    )
    try:
        verifier.verify(others[-1].parsed, [one.parsed for one in others[:-1]])
    except VerificationError:
        accepted = False
    else:
        accepted = True
    assert accepted is (case == "sound")
    assert (ours == ()) is accepted


def _must_sign(found: x509.KeyUsage | None) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("keyCertSign is missing")
