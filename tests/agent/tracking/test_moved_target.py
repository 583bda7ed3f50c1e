"""What is said where the records of a store name another folder than the target's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent.tracking.moved_target import mend_moved
from tests.stores import empty_store

RUN = "1" * 32
ARTIFACTS = f"mlruns/0/{RUN}/artifacts"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target with the artifact of a run."""
    root = tmp_path / "proj"
    with closing(sqlite3.connect(empty_store(root))) as store, store:
        store.execute(
            "INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, artifact_uri)"
            " VALUES (?, 0, 'FINISHED', 'active', ?)",
            (RUN, f"{root}/{ARTIFACTS}"),
        )
    (root / ARTIFACTS).mkdir(parents=True)
    (root / ARTIFACTS / "note.txt").touch()
    return root


@pytest.mark.parametrize("how", ["moved", "linked"])
def test_the_words_hold_for_a_move_and_for_another_path(target: Path, how: str) -> None:
    assert mend_moved(target) == ""
    now = target.with_name("now")
    target.rename(now)
    if how == "linked":
        target.symlink_to(now)
    said = mend_moved(now)
    assert said.startswith("This target was moved or copied, or is reached by another path: ")
    assert said.endswith(f"of its records led to {target}, and lead to {now} now.")
    assert mend_moved(now) == ""
