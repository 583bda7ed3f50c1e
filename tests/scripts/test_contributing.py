"""What CONTRIBUTING names is there: a stranger finds the file that a row sends them to."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

#: What a change would add, stands for any file, or is in the folder that a section is about.
NEW = {"operations/watch.py", "remote/a/b.py", "tests/a/test_b.py", "base.py"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w./]+(?:\.py|/))`", TEXT)) - NEW))
def test_every_file_that_is_named_is_there(name: str) -> None:
    places = [
        ROOT / top / name for top in ("", "remote", "remote/agent", "remote/tracking", "tests")
    ]
    assert any(place.exists() for place in places)


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"(?:^ +|`)make ([a-z-]+)", TEXT, re.MULTILINE)))
)
def test_every_target_of_make_that_is_named_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
