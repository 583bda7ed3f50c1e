"""What a command answers, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from remote.answers import data_of, error_of
from remote.errors import JobError
from remote.job.messages.jobs import Metric
from remote.transport.rsync_problems import Problem


@dataclass(frozen=True)
class Pair:
    path: Path
    counts: tuple[float, ...]


class Named(NamedTuple):
    pair: Pair
    metric: Metric


def test_whatever_has_fields_is_an_object_with_all_of_them() -> None:
    named = Named(Pair(Path("/a"), (1.5, math.inf)), Metric("loss", 0.5, 3))
    assert data_of(named) == {
        "pair": {"path": "/a", "counts": [1.5, "inf"]},
        "metric": {"key": "loss", "value": 0.5, "step": 3},
    }
    assert data_of({"x": None, 1: {"y": True}}) == {"x": None, "1": {"y": True}}


def test_a_problem_has_its_words_too() -> None:
    problem = Problem("a.csv", "Permission denied")
    assert data_of(problem)["text"] == problem.text and data_of(problem)["path"] == "a.csv"


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    wanted = {"message": "It is wrong.", "next": "Mend it."}
    assert (
        data_of(JobError("It is wrong.", "Mend it."))
        == wanted
        == error_of("It is wrong.\nMend it.")
    )
    assert error_of("It is wrong.") == {"message": "It is wrong.", "next": ""}
