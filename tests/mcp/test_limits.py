from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remote.mcp.limits import MOST, _Room, limited

WORDS = st.text(max_size=40) | st.sampled_from(["\x1b" * 300, '"' * 2000, "\u202e"])
DATA = st.recursive(
    WORDS | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=5),
)


def test_an_answer_that_fits_stays_as_it_is() -> None:
    answer = {"error": None, "jobs": [{"id": "a", "seconds": 1.5, "ready": False}], "text": "a\nb"}
    assert limited(answer) == answer


def test_what_is_left_out_is_counted_at_its_place() -> None:
    fit = limited({"sent": [str(number) for number in range(MOST + 7)], "text": "x" * 99_999})
    assert fit["sent"][-2:] == [str(MOST - 1), "… and 7 more"]
    assert fit["text"].endswith("x…") and len(fit["text"]) < 40_000
    many = limited({str(number): "x" * 1000 for number in range(100)})
    assert many["…"] == f"… and {100 - len(many) + 1} more"


def test_nothing_in_it_steers_a_terminal_or_a_reader() -> None:
    fit = limited(
        {"\x1b]0;name\a": ["\u202etxt.exe", "https://me:secret@host/x"], "text": "a\tb\r"}
    )
    assert fit == {
        "\\x1b]0;name\\x07": ["\\u202etxt.exe", "https://me:***@host/x"],
        "text": "a   b\\r",
    }


@given(st.dictionaries(WORDS, DATA, max_size=6))
def test_whatever_a_server_says_it_is_bounded(answer: dict[str, Any]) -> None:
    text = json.dumps(_Room(1000).object(answer), ensure_ascii=False)
    # JSON writes a quote and a backslash twice.
    assert len(text) < 2 * 1000 + 500
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in text)
