"""What a job's code wrote where no pull brings it from: seen at its end, kept, forgotten."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from remote.agent import unpulled
from remote.agent.job_folders import job_of
from remote.agent.job_state import end_job, state_of
from remote.agent.jobs.prune import prune, remove
from remote.agent.jobs.submit import freezing, link_outputs
from remote.agent.jobs.summaries import list_unpulled
from remote.errors import JobError
from remote.files import read_json, write_json
from remote.job.messages.old_jobs import PruneRequest, RemoveRequest, UnpulledRequest
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FINISHED, LOST, RUNNING
from tests.agent.job_folder import IDS, KEY, add


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def paths(root: Path) -> JobPaths:
    """A job whose code is about to begin, with `out` and `model.pkl` as outputs of its own."""
    made = add(root, age=9999, state=RUNNING)
    asked = read_json(made.job)
    assert asked
    write_json(made.job, {**asked, "outputs": ["out", "model.pkl", "data/06_models"]})
    for folder in (root, made.code):
        for name in ("train.py", "config.json", "same.json", "deep/a.txt"):
            write(folder / name, "before")
    link_outputs(root, made.code, ["out", "model.pkl", "data/06_models"])
    unpulled.begin(made, job(made))
    return made


def job(paths: JobPaths) -> Job:
    read = job_of(paths)
    assert read
    return read


def files(paths: JobPaths) -> dict[str, int]:
    unpulled.end(paths, job(paths))
    return dict(unpulled.read(paths, job(paths)).files)


def test_what_is_new_or_changed_is_seen(paths: JobPaths) -> None:
    code = paths.code
    write(code / "ckpt/日本 [1].pt", "weights")
    write(code / "config.json", "after!")
    old = write(code / "copied.bin", "old")
    os.utime(old, (1, 1))
    # As long as before, and as old.
    before, other = (code / "deep/a.txt").stat(), write(code / "deep/.tmp", "other!")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, code / "deep/a.txt")
    assert files(paths) == {
        "ckpt/日本 [1].pt": 7,
        "config.json": 6,
        "copied.bin": 3,
        "deep/a.txt": 6,
    }
    log = paths.log.read_text()
    assert "ckpt/日本 [1].pt, config.json, deep/a.txt, ... (4 files, 22 B)" in log
    assert f"inv remote-fetch {paths.id}" in log


def test_what_no_one_would_miss_is_not(paths: JobPaths) -> None:
    code, root = paths.code, paths.root
    write(code / "__pycache__/train.pyc")
    write(code / "deep/.ipynb_checkpoints/a.ipynb")
    write(code / "lock", "")
    write(code / "out/ckpt.pt")
    write(code / "model.pkl")
    write(code / "data/results/r.csv")
    write(code / "data/06_models/m.pkl")
    write(code / "logs/x")
    os.symlink("train.py", code / "latest")
    # Written anew as the target has it; another snapshot has linked to it; its time alone differs.
    write(code / "same.json", "before")
    os.link(code / "train.py", root / "linked")
    os.utime(code / "config.json", (1, 1))
    assert files(paths) == {} and not paths.unpulled.exists() and not paths.frozen.exists()
    assert not paths.log.exists()
    assert (root / "out/ckpt.pt").exists() and (root / "model.pkl").exists()


def test_a_program_writes_into_no_other_jobs_files(paths: JobPaths) -> None:
    """Snapshots share files until one of them runs, and again when it has ended."""
    jobs = [paths, add(paths.root, IDS[1], state=RUNNING), add(paths.root, IDS[2], state=RUNNING)]
    for each in jobs:
        shutil.rmtree(each.code, ignore_errors=True)
        with freezing(each, paths.root):
            pass
    paths.frozen.unlink()
    inodes = {each.code.joinpath("train.py").stat().st_ino for each in jobs}
    assert len(inodes) == 1
    first, second, _ = jobs
    (first.code / "empty").touch()
    os.link(first.code / "empty", first.root / "another's")
    for each in jobs[:2]:
        unpulled.begin(each, job(each))
    for name in ("train.py", "empty"):
        with open(first.code / name, "a") as file:
            file.write(", rewritten")
    for folder in (second.code, first.pristine, jobs[2].code):
        assert (folder / "train.py").read_text() == "before"
    assert (first.root / "another's").read_bytes() == b""
    for each in jobs[:2]:
        unpulled.end(each, job(each))
    assert dict(unpulled.read(first, job(first)).files) == {"train.py": 17, "empty": 11}
    assert dict(unpulled.read(second, job(second)).files) == {}
    shared = [folder / "config.json" for folder in (first.code, second.code, jobs[2].pristine)]
    assert len({file.stat().st_ino for file in shared}) == 1
    assert not (first.folder / unpulled.PART).exists()
    assert (first.first_code / "train.py").read_text() == "before"


def test_a_full_disk_leaves_files_shared(paths: JobPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.frozen.unlink()
    os.link(paths.code / "train.py", paths.root / "linked")

    def full(source: str, target: str) -> None:
        Path(target).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", full)
        unpulled.begin(paths, job(paths))
    assert (paths.code / "train.py").read_text() == "before"
    assert not (paths.folder / unpulled.PART).exists() and files(paths) == {}


def test_a_worker_that_is_stopped_amid_a_file_leaves_none_half_replaced(
    paths: JobPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one that is killed there, once somebody has seen to its end."""

    def stop(source: str, target: str) -> None:
        write(Path(target), "bef")
        raise KeyboardInterrupt

    paths.frozen.unlink()
    os.link(paths.code / "same.json", paths.root / "shared")
    monkeypatch.setattr(shutil, "copy2", stop)
    with pytest.raises(KeyboardInterrupt):
        unpulled.begin(paths, job(paths))
    assert (paths.code / "same.json").read_text() == "before"
    part = paths.folder / unpulled.PART
    assert not part.exists()
    part.touch()
    os.utime(paths.job, (1, 1))
    assert state_of(paths).state == LOST and not part.exists()


def test_a_file_that_took_the_place_of_an_outputs_link_is_the_targets(paths: JobPaths) -> None:
    os.replace(write(paths.code / "tmp", "weights"), paths.code / "model.pkl")
    assert files(paths) == {}
    assert (paths.root / "model.pkl").read_text() == "weights"


def test_folders_that_took_the_place_of_outputs_links_are_the_targets(paths: JobPaths) -> None:
    """As after `rm -rf logs`, with which many notebooks begin."""
    write(paths.root / "logs/other/events", "of another job")
    for name in ("logs", "out"):
        (paths.code / name).unlink()
        write(paths.code / name / "deep/new", name)
    write(paths.code / "logs/other/events", "mine")
    write(paths.code / "data/results/r.csv")
    assert files(paths) == {"logs/other/events": 4}
    assert (paths.root / "logs/deep/new").read_text() == "logs"
    assert (paths.root / "out/deep/new").read_text() == "out"
    assert (paths.root / "logs/other/events").read_text() == "of another job"
    assert (paths.root / "data/results/r.csv").read_text() == "x"


def test_other_folders_of_data_are_told_of_but_keep_no_job(paths: JobPaths) -> None:
    write(paths.root / "data/raw/r.csv")
    write(paths.root / "data/08_reporting/plot.png")
    os.utime(write(paths.root / "data/05_input/old.csv"), (1, 1))
    assert files(paths) == {"data/08_reporting/plot.png": 1}
    assert_goes(paths)


def test_a_store_of_the_jobs_own_comes_by_the_merge(paths: JobPaths, template: Path) -> None:
    shutil.copyfile(template / "mlflow.db", paths.code / "own.db")
    write(paths.code / "own.db-wal")
    write(paths.code / "not_own.db")
    (paths.code / "exp").mkdir()
    for name in ("exp/noted.db", "exp/not_noted.db"):
        shutil.copyfile(template / "mlflow.db", paths.code / name)
    paths.stores.write_text(json.dumps(str(paths.code.resolve() / "exp/noted.db")) + "\n")
    assert sorted(files(paths)) == ["exp/not_noted.db", "not_own.db"]


def assert_goes(paths: JobPaths) -> None:
    paths.status.write_text('{"state": "finished"}')
    done = remove(RemoveRequest(key=KEY, jobs=(paths.id,), pulled=(paths.id,)))
    assert done.removed == (paths.id,)


def test_a_job_stays_until_its_files_were_brought(paths: JobPaths) -> None:
    write(paths.code / "ckpt.pt")
    write(paths.code / "log.txt")
    files(paths)
    paths.status.write_text('{"state": "finished", "ended": 1}')
    for path in (paths.status, paths.folder):
        os.utime(path, (1, 1))
    pulled = (paths.id,)
    with pytest.raises(JobError, match="only copy of ckpt.pt, log.txt .2 files, 2 B") as error:
        remove(RemoveRequest(key=KEY, jobs=pulled, pulled=pulled))
    assert "--force" in error.value.hint and "remote-fetch" in error.value.hint
    answer = prune(PruneRequest(key=KEY, older=60, pulled=pulled))
    assert (answer.jobs, answer.kept, answer.unfetched) == ((), (), pulled)
    forced = prune(PruneRequest(key=KEY, older=60, pulled=pulled, force=True, dry_run=True))
    assert (forced.jobs, forced.unfetched) == (pulled, ())
    for _ in range(2):
        left = list_unpulled(UnpulledRequest(key=KEY, job="last", brought=("ckpt.pt",)))
        assert (left.id, dict(left.files)) == (paths.id, {"log.txt": 1})
    list_unpulled(UnpulledRequest(key=KEY, job="last", brought=("log.txt", "never")))
    assert_goes(paths)


def test_what_a_running_job_has_brought_may_change_still(paths: JobPaths) -> None:
    paths.status.write_text('{"state": "unknown"}')
    write(paths.code / "ckpt.pt")
    left = list_unpulled(UnpulledRequest(key=KEY, job="last", brought=("ckpt.pt",)))
    assert dict(left.files) == {"ckpt.pt": 1}


def test_a_lost_jobs_files_are_listed_when_that_is_seen(paths: JobPaths) -> None:
    write(paths.code / "ckpt.pt")
    os.utime(paths.job, (1, 1))
    assert state_of(paths).state == LOST
    assert dict(unpulled.read(paths, None).files) == {"ckpt.pt": 1}
    assert "remote-fetch" in paths.log.read_text()


def test_where_the_list_can_not_be_written_the_files_are_kept_all_the_same(
    paths: JobPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    write(paths.code / "ckpt.pt")
    with monkeypatch.context() as patched:
        patched.setattr(unpulled.Unpulled, "to_file", full)
        status = end_job(paths, state_of(paths), state=FINISHED, cause="")
    assert status.state == FINISHED
    with pytest.raises(JobError, match="only copy"):
        remove(RemoveRequest(key=KEY, jobs=(paths.id,), pulled=(paths.id,)))


def test_jobs_of_the_live_tree_and_of_the_terminal_have_no_list(root: Path) -> None:
    for number, flags in enumerate(({"live": True}, {"interpreter": "/usr/bin/python"})):
        made = add(root, f"20260101-09000{number}-train-aaaa")
        unpulled.begin(made, job(made).replace(**flags))
        assert not made.frozen.exists()
        assert files(made) == {}
