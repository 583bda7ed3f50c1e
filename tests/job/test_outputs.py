"""What jobs write: the table that push, snapshots and pull follow."""

from __future__ import annotations

import pytest

from remote.job import outputs


def test_a_pull_brings_no_records_as_files() -> None:
    pulled = {row.path for row in outputs.TABLE if row.pulled}
    assert {"mlruns", "mlartifacts", "mlflow.db"}.isdisjoint(pulled)


def test_a_new_target_has_the_folders_that_jobs_share_and_no_store() -> None:
    assert "mlflow.db" not in outputs.FOLDERS and "mlartifacts" not in outputs.FOLDERS
    assert {folder.split("/")[0] for folder in outputs.FOLDERS} <= set(outputs.links())


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("data/results/a.ipynb", True),
        ("data/raw/digits.csv", True),
        ("outputs", True),
        (".remote/backup/x", True),
        ("mlflow.db", True),
        ("src/outputs/a.py", False),
        ("outputs.py", False),
        ("database.py", False),
        ("train.py", False),
    ],
)
def test_a_push_leaves_what_is_a_jobs_or_ours(name: str, left: bool) -> None:
    assert outputs.is_left_alone(name) is left
