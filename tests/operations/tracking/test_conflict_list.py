"""Which of the open conflicts are meant by what was typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.operations.tracking.conflict_list import Listed, choose
from remote.tracking.merge import Conflict
from remote.tracking.merge.conflicts import OpenConflict

RUN, OTHER = "a" * 32, "b" * 32


def listed(*conflicts: tuple[str, str, str]) -> list[Listed]:
    return [
        Listed(
            number, "gpu:/proj", Path("base"), OpenConflict(Conflict(*which, "ours", "theirs"), ())
        )
        for number, which in enumerate(conflicts, 1)
    ]


FOUND = listed(
    ("runs", RUN, "name"),
    ("runs", OTHER, "name"),
    ("tags", f"{RUN}/mlflow.note.content", "value"),
    ("tags", f"{RUN}/mlflow.runName", "value"),
)


def numbers(*words: str) -> list[int]:
    return [each.number for each in choose(FOUND, words, theirs=True, ours=False)]


def test_without_words_all_are_meant() -> None:
    assert numbers() == [1, 2, 3, 4]


def test_by_number_or_by_the_beginning_of_an_id() -> None:
    assert numbers("3") == [3]
    assert numbers(OTHER[:6]) == [2]


def test_a_runs_name_is_settled_in_both_its_places() -> None:
    assert numbers("1") == [1, 4]
    assert numbers("4", "2") == [1, 2, 4]


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(StoreError, match="No conflict is called 9"):
        numbers("1", "9")
