"""What a disk that tells no case would mix up is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.operations.transfers import one_name
from remote.transport.rsync_problems import ONE_NAME


def test_a_disk_is_blind_where_another_case_finds_the_same_file(tmp_path: Path) -> None:
    assert not one_name.is_blind(tmp_path / "none") and not one_name.is_blind(tmp_path)
    (tmp_path / "1").touch()
    assert not one_name.is_blind(tmp_path)
    (tmp_path / "Model.pt").touch()
    assert not one_name.is_blind(tmp_path)
    (tmp_path / "mODEL.PT").touch()
    assert not one_name.is_blind(tmp_path)
    (tmp_path / "mODEL.PT").unlink()
    # As such a disk shows it: one file, under either name.
    os.link(tmp_path / "Model.pt", tmp_path / "mODEL.PT")
    assert one_name.is_blind(tmp_path)


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["a/b", "a/c", "b"], []),
        (["a/B", "a/b"], ["a/B", "a/b"]),
        (["a/B", "A/c"], ["A", "a"]),
        (["x/Ä.csv", "x/ä.csv", "x/a.csv"], ["x/Ä.csv", "x/ä.csv"]),
        (["a", "A", "b"], ["A", "a"]),
        (["caf\u00e9", "cafe\u0301"], ["cafe\u0301", "caf\u00e9"]),
        (["B/a", "b/c", "b/C"], ["B", "b", "b/C", "b/c"]),
    ],
)
def test_names_that_differ_in_case_are_problems(paths: list[str], told: list[str]) -> None:
    found = list(one_name.problems(paths, "gpu:/proj"))
    assert sorted(problem.path for problem in found) == told
    assert {problem.kind for problem in found} <= {ONE_NAME}


def test_all_that_a_name_is_mixed_up_with_are_told() -> None:
    first, *_ = one_name.problems(["ab", "aB", "AB"], "gpu:/proj")
    assert first.text == (
        "AB on gpu:/proj: this machine's disk takes it and aB and ab for one."
        " Rename one of them on the server."
    )
