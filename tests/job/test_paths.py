"""Names of jobs and of their files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.job.outputs import links, paths
from remote.job.paths import JobPaths, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", "train"),
        ("Train_2", "Train_2"),
        ("my model.v2", "my-model-v2"),
        ("--x--", "x"),
        ("_x_", "x"),
        ("Ünïcode", "Unicode"),
        ("日本語", "job"),
        ("日本 v2", "v2"),
        ("", "job"),
        ("$(rm -rf /)", "rm-rf"),
        ("a:b.c", "a-b-c"),
        ("x" * 100, "x" * 32),
        ("x" * 31 + "-yz", "x" * 31),
    ],
)
def test_a_slug_is_plain_letters(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text())
def test_any_slug_is_safe_for_tmux_mlflow_and_folders(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", slug(name))


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", "-x", ".hidden", "a b", "日本", "a\n"])
def test_what_is_no_id_makes_no_path(bad: str) -> None:
    with pytest.raises(ValueError):
        JobPaths(Path("/t"), bad)


def test_all_files_of_a_job_lie_in_its_folder() -> None:
    paths = JobPaths(Path("/t"), "20260102-030405-train-ab12")
    folder = Path("/t/.remote/jobs/20260102-030405-train-ab12")
    assert paths.folder == folder
    files = [paths.job, paths.status, paths.progress, paths.log, paths.code, paths.notebook]
    assert {path.parent for path in files} == {folder} and len(set(files)) == len(files)


def test_what_a_snapshot_shares_holds_all_that_jobs_write() -> None:
    for name in paths():
        shared = any(name == each or name.startswith(f"{each}/") for each in links())
        assert shared or name == "mlartifacts", name
