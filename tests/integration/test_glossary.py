"""The Japanese documents say one word for one thing: that of their glossary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remote.job.status import STATES
from tests.conftest import ROOT

GLOSSARY = ROOT / "docs/ja/glossary.md"
PAGES = sorted(page for page in (ROOT / "docs/ja").glob("**/*.md") if page != GLOSSARY)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
KATAKANA = "[ァ-ヶー]"


def replaced_words() -> dict[str, str]:
    """Each word that isn't said, with the one that is."""
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|", GLOSSARY.read_text(), re.MULTILINE)
    found = {word: said for said, others in rows for word in others.split("、") if word.strip()}
    return {
        word: said
        for word, said in found.items()
        if not set(word) <= set("- ") and word != "使わない言い方"
    }


def pattern(word: str) -> str:
    """A word of Katakana may be a part of another one, and isn't meant there."""
    whole = re.fullmatch(f"{KATAKANA}+", word)
    return f"(?<!{KATAKANA}){word}(?!{KATAKANA})" if whole else re.escape(word)


def test_the_glossary_names_words_and_states() -> None:
    words = replaced_words()
    assert words["ラン"] == "run" and words["フォルダ"] == "フォルダー" and len(words) > 15
    assert re.search(pattern("ラン"), "親のランです") and not re.search(pattern("ラン"), "ランダム")
    for page in (GLOSSARY, ROOT / "docs/glossary.md"):
        assert set(re.findall(r"^\| `([a-z]+)` \|", page.read_text(), re.MULTILINE)) == set(STATES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_word_outside_the_glossary_is_used(page: Path) -> None:
    text = CODE.sub("", page.read_text())
    found = {
        word: said for word, said in replaced_words().items() if re.search(pattern(word), text)
    }
    assert not found, f"{page.name}: say {found}"
