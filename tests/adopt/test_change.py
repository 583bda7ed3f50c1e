from __future__ import annotations

import pytest

from remote.adopt import change
from remote.adopt.change import BEGIN, END, ManualStep


@pytest.mark.parametrize("text", ["", "a\n", "a", "a\n\n", "a\r\nb\r\n", "\ufeffé\n"])
def test_what_was_there_stays_in_front(text: str) -> None:
    added = change.replace_block(text, ["x", "y"])
    assert added.startswith(text)
    assert added.splitlines()[-4:] == [BEGIN, "x", "y", END]
    assert change.outside(added).strip() == text.strip()
    assert ("\r\n" in added) == ("\r\n" in text)
    assert change.replace_block(added, ["x", "y"]) == added


def test_a_block_is_replaced_where_it_stands() -> None:
    text = change.replace_block("a\n", ["old"]) + "b\n"
    assert change.replace_block(text, ["new"]) == f"a\n\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_half_a_block_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(ManualStep):
        change.replace_block(text, ["x"])
