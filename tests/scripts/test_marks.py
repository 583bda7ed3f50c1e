"""The lists in tests/conftest.py name files that are there."""

from __future__ import annotations

import pytest

from tests.conftest import LONG, MARKS, ROOT

NAMES = [*LONG, *(name for names in MARKS.values() for name in names)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_marked_is_there(name: str) -> None:
    assert (ROOT / "tests" / name).exists()
