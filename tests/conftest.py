"""What every test of the suite shares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import settings

# A test asks what holds, not how fast: on a busy machine an example may take its time.
settings.register_profile("suite", settings.default, deadline=None)
settings.load_profile("suite")

pytest_plugins = ["tests.rings"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


_DIGEST = re.compile(r"[0-9a-f]{40,}")


def pytest_make_parametrize_id(val: object) -> str | None:
    """A digest of a key that is new in every process is no part of a test's name: all workers must agree on that."""
    return _DIGEST.sub("digest", val) if isinstance(val, str) and _DIGEST.search(val) else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded conversations and real evidence, which lies beside the checkout and is not part of it."""
    from tests.rings import cannot  # imported late: a plugin must be registered before it is imported

    if not SHARED_DATA.is_dir():
        cannot("the recorded data is not at ../shared/data beside the checkout")
    return SHARED_DATA
