"""Each choice of a pin comes with a sentence that tells an admin what will break it."""

from __future__ import annotations

import pytest

from cmakeys.devices.pin import explain, meaning, recommend
from cmakeys.x509.pin import PinKind
from tests.devices.chains import alias_chain, plain_chain


def test_a_device_with_changing_leaves_is_recommended_its_own_certificate() -> None:
    kind, reason = recommend(alias_chain("v1", marked=True))
    assert kind is PinKind.DEVICE_CERTIFICATE
    assert "CN=Device 0001" in reason
    assert "hardware identity" in reason


def test_a_concluded_device_certificate_comes_with_a_warning_that_it_may_be_shared() -> None:
    assert "if several devices share" in recommend(alias_chain("v1", marked=False))[1]
    assert "if several devices share" not in recommend(alias_chain("v1", marked=True))[1]
    assert "if several devices share" not in recommend(plain_chain())[1]


@pytest.mark.parametrize("kind", PinKind)
def test_every_kind_explains_what_it_fixes(kind: PinKind) -> None:
    assert meaning(kind) in explain(kind, plain_chain())


def test_a_leaf_pin_says_that_firmware_breaks_it() -> None:
    assert "changes with firmware" in explain(PinKind.LEAF, plain_chain())
