"""The lock files fit each other: extras are installed side by side."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def pins(lock: Path) -> dict[str, set[str]]:
    """Each package's versions: one for each kind of machine or Python that wants another."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations(LOCKS, 2)), ids=lambda p: p.name
)
def test_no_two_lock_files_want_different_versions(one: Path, other: Path) -> None:
    first, second = pins(one), pins(other)
    shared = first.keys() & second.keys()
    assert shared or "dev" in one.name + other.name
    assert {name for name in shared if first[name] != second[name]} == set()
