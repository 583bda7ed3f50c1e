"""A page that is damaged deep inside a store, which opens and answers as long as nobody reads it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from tests.conftest import ProjectFolder
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(300)


def with_runs(folder: Path, count: int) -> Path:
    """A store with runs that have many metrics, and their artifacts."""
    store = empty_store(folder)
    for number in range(count):
        run = f"{number:032x}"
        tags = {"mlflow.runName": f"run {number}", "mlflow.user": "ada"}
        made = run_rows.begin(store, experiment="deep", run_id=run, tags=tags, start_ms=1000)
        (made.artifact_dir / "note.txt").write_text(run)
        run_rows.close(store, run, status="FINISHED", end_ms=2000)
    with closing(sqlite3.connect(store)) as database, database:
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            " INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " SELECT 'loss', i / 7.0, 1000 + i, run_uuid, i, 0 FROM runs, n"
        )
    return store


def damaged(store: Path) -> bytes:
    """Overwrite a leaf of the table of metrics; what was there comes back with its place."""
    with closing(sqlite3.connect(store)) as database:
        size = database.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(store.read_bytes())
    # 13 is a leaf of a table (https://www.sqlite.org/fileformat2.html#b_tree_pages).
    leaves = [at for at in range(size, len(content), size) if content[at] == 13]
    place = next(at for at in leaves[len(leaves) // 2 :] if b"loss" in content[at : at + size])
    content[place : place + size] = b"\xa5" * size
    before = store.read_bytes()
    store.write_bytes(content)
    return before


def test_records_of_a_damaged_store_are_not_taken_for_all_there_are(
    project: ProjectFolder, target_root: Path
) -> None:
    project.inv("sync-push")
    far = with_runs(target_root, 3)
    whole = damaged(far)
    before = (project.root / "mlflow.db").read_bytes()
    broken = far.read_bytes()
    said = project.inv("sync-pull", check=False)
    print(said.code, said.out, said.err)
    assert said.code and str(far) in said.err and "Traceback" not in said.err, said.text
    assert "malformed" in said.err or "damaged" in said.err
    assert (project.root / "mlflow.db").read_bytes() == before, "nothing is merged of a part"
    assert far.read_bytes() == broken, "nothing is mended, or replaced, without being asked to"
    # Put back, the same command brings all of it.
    far.write_bytes(whole)
    assert "3 new runs" in project.inv("sync-pull").out


def test_a_damaged_store_here_is_named_with_the_way_back(
    project: ProjectFolder, target_root: Path
) -> None:
    project.inv("sync-push")
    with_runs(target_root, 2)
    here = with_runs(project.root, 1)
    damaged(here)
    broken = here.read_bytes()
    said = project.inv("sync-pull", check=False)
    print(said.code, said.out, said.err)
    check = project.inv("mlflow-check", check=False)
    assert check.code and ".recover" in check.text and "Traceback" not in said.text
    if said.code:
        assert "mlflow-check" in said.err and here.read_bytes() == broken
