"""Room on a server: what is there and here alike goes there, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from remote.agent.tracking import run_rows
from remote.operations.sync import pull
from remote.operations.tracking.free_pulled import find_copies
from remote.session import TargetSession
from tests.agent.job_folder import add
from tests.operations.tracking.conftest import Store

OLD, GOES_ON, REGISTERED, OF_JOB = ("f1" * 16, "f2" * 16, "f3" * 16, "f4" * 16)
JOB = "20260101-090000-train-aaaa"


def freed(server: TargetSession, far: Store) -> set[str]:
    """What goes, by its path below the target."""
    before = files(far.root)
    copies = find_copies(server, 60, time.time())
    assert files(far.root) == before, "looking removes nothing"
    assert set(copies.remove().files) == before - files(far.root)
    return before - files(far.root)


def files(root: Path) -> set[str]:
    paths = (path for top in ("data", "mlruns") for path in (root / top).rglob("*"))
    return {path.relative_to(root).as_posix() for path in paths if path.is_file()}


def make_old(root: Path) -> None:
    for name in files(root):
        os.utime(root / name, (1, 1))


def test_what_is_verified_here_goes_there_once_nothing_uses_it(
    server: TargetSession, here: Store, far: Store
) -> None:
    for run in (OLD, GOES_ON, REGISTERED, OF_JOB):
        far.run(run, artifact=f"note of {run}")
    far.sql("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?", GOES_ON)
    run_rows.update(far.file, OF_JOB, {"remote.job": JOB})
    far.sql("INSERT INTO registered_models (name) VALUES ('net')")
    far.sql(
        "INSERT INTO model_versions (name, version, run_id, source) VALUES ('net', 1, ?, 'x')",
        REGISTERED,
    )
    for name in ("results/a.csv", "results/edited.csv", "processed/features.csv"):
        (far.root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (far.root / "data" / name).write_text(name)
    job = add(far.root, JOB, state="running")
    job.live.parent.mkdir(parents=True)
    job.live.touch()
    make_old(far.root)
    pull(server)
    (here.root / "data/results/edited.csv").write_text("results/EDITED.csv")
    (far.root / "data/results/new.csv").write_text("not pulled")
    (old,) = far.root.glob(f"mlruns/*/{OLD}/artifacts/*")
    assert freed(server, far) == {old.relative_to(far.root).as_posix()}
    # Once the job has ended, and its record says so, its artifacts and the results may go.
    job.live.unlink()
    (note,) = far.root.glob(f"mlruns/*/{OF_JOB}/artifacts/*")
    assert freed(server, far) == {note.relative_to(far.root).as_posix(), "data/results/a.csv"}
    assert freed(server, far) == set()
    # What is here stays here, whatever is pulled next.
    pull(server)
    assert set(here.notes()) == {OLD, GOES_ON, REGISTERED, OF_JOB}
    assert (here.root / "data/results/a.csv").read_text() == "results/a.csv"


def test_what_was_written_since_the_look_stays(
    server: TargetSession, here: Store, far: Store
) -> None:
    far.run(OLD, artifact="note")
    make_old(far.root)
    pull(server)
    copies = find_copies(server, 60, time.time())
    (note,) = far.root.glob("mlruns/*/*/artifacts/*")
    note.write_text("else")
    os.utime(note, (1, 1))
    assert len(copies.sums) == 1 and copies.remove().files == {} and note.is_file()


def test_the_very_file_that_both_have_by_links_to_one_folder_stays(
    server: TargetSession, here: Store, far: Store, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a.csv").write_text("the only copy")
    os.utime(shared / "a.csv", (1, 1))
    for root in (here.root, far.root):
        (root / "data/results").parent.mkdir(exist_ok=True)
        if (root / "data/results").is_dir():
            (root / "data/results").rmdir()
        (root / "data/results").symlink_to(shared)
    copies = find_copies(server, 60, time.time())
    copies.remove()
    assert (shared / "a.csv").read_text() == "the only copy" and copies.answer.files == {}
