"""What a target needs no more."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from remote.agent import environments
from remote.agent.jobs import prune as prune_module
from remote.agent.jobs.prune import GONE, prune, remove
from remote.errors import JobError, TargetError
from remote.files import locked, write_json
from remote.job import tree
from remote.job.messages.old_jobs import PruneRequest, RemoveAnswer, RemoveRequest
from remote.job.paths import STATE, JobPaths, partial_name
from remote.job.spec import JobSpec
from remote.job.status import FINISHED
from tests.agent.job_folder import KEY, add


@pytest.mark.parametrize("python", ["", ">=3.10"])
def test_the_environment_of_what_was_pushed_stays(root: Path, python: str) -> None:
    (root / "requirements.lock").touch()
    for version in ("", ">=3.10"):
        made = environments.of(root, root, version).folder / ".complete"
        made.parent.mkdir(parents=True)
        made.touch()
        os.utime(made, (1, 1))
    pushed = environments.of(root, root, python)
    answer = prune(PruneRequest(key=KEY, older=60, python=python))
    assert len(answer.environments) == 1 and pushed.name not in answer.environments
    assert pushed.is_ready()


@pytest.mark.parametrize(
    "asked",
    [
        {"environment": "conda"},
        {"environment": "container", "environment_source": "org/image:1"},
        {"torch_backend": "cu126"},
        {"extras": ("torch",)},
    ],
)
def test_the_environment_that_settings_name_stays(root: Path, asked: dict[str, Any]) -> None:
    for name in ("requirements.lock", "requirements-torch.lock", "environment.yml"):
        (root / name).write_text("dependencies: [python]\n" if name.endswith("yml") else "")
    job = JobSpec(kind="command", source="", name="x", **asked)
    used, plain = (
        environments.of_job(root, root, each)
        for each in (
            job,
            JobSpec.replace(
                job, environment="", environment_source="", torch_backend="", extras=()
            ),
        )
    )
    for env in (used, plain):
        env.folder.mkdir(parents=True)
        (env.folder / ".complete").touch()
        os.utime(env.folder / ".complete", (1, 1))
    answer = prune(PruneRequest(key=KEY, older=60, **asked))
    assert answer.environments == (plain.name,)


@pytest.mark.parametrize(
    ("stamp", "ended", "now", "goes"),
    [
        (-9000, -8000, 0, True),
        # The server's clock was set forward by a day: minutes ago is a day ago.
        (-86500, -86460, -86400, False),
        # The laptop's was.
        (-600, -60, 86400, False),
        # The server's was behind while the job ran: its id says when it was submitted.
        (-600, -9999999, 0, False),
    ],
)
def test_a_job_goes_when_it_is_old_by_any_clock(
    root: Path, stamp: float, ended: float, now: float, goes: bool
) -> None:
    start = time.time()
    name = time.strftime("%Y%m%d-%H%M%S-train-aaaa", time.localtime(start + stamp))
    paths = add(root, name, state=FINISHED, ended=start + ended)
    os.utime(paths.folder, (start + ended,) * 2)
    request = PruneRequest(key=KEY, older=3600, now=start + now, pulled=(name,))
    assert prune(request).jobs == ((name,) if goes else ())
    assert paths.folder.is_dir() is not goes


@pytest.mark.parametrize(("age", "goes"), [(3600, False), (90000, True)])
def test_a_backup_of_today_stays_however_soon_others_may_go(
    root: Path, age: float, goes: bool
) -> None:
    backup = root / STATE / "backup" / "push-1"
    backup.mkdir(parents=True)
    os.utime(backup, (time.time() - age,) * 2)
    answer = prune(PruneRequest(key=KEY, older=1))
    assert answer.backups == (("push-1",) if goes else ()) and backup.is_dir() is not goes


#: The id of a copy of the project that pushed here.
COPY = "c" * 32


def leave(root: Path) -> list[Path]:
    """What a cut push, a prune that was killed, and a rerun of last week have left."""
    files = [
        root / ".remote/partial" / COPY / "big.a1b2c3",
        root / "data/raw" / partial_name(COPY) / "big",
        root / ".remote/jobs/.removed-x/code/a.py",
        root / ".remote/incoming-0123/a.py",
        root / ".remote/delta-0123",
        root / ".remote/saved-0123.zip",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(5000))
        for path in (file, file.parent):
            os.utime(path, (1, 1))
    return files


def test_what_was_left_unfinished_goes(root: Path) -> None:
    left = leave(root)
    young = root / ".remote/incoming-4567"
    young.mkdir()
    would = prune(PruneRequest(key=KEY, older=1e6, dry_run=True))
    assert would.unfinished >= 25_000 and all(path.exists() for path in left)
    answer = prune(PruneRequest(key=KEY, older=1e6))
    assert answer.unfinished == would.unfinished == answer.bytes
    assert not any(path.exists() for path in left) and young.exists()
    assert (root / ".remote/partial" / COPY).is_dir()


def test_what_a_push_is_sending_stays_and_is_told(root: Path) -> None:
    left = leave(root)
    with locked(root / tree.LOCK):
        answer = prune(PruneRequest(key=KEY, older=1e6))
    assert [path.exists() for path in left] == [True, True, False, False, False, False]
    assert "push" in answer.remarks[0]


def test_why_an_environment_stays_is_told(root: Path) -> None:
    (root / "requirements.lock").touch()
    pushed = environments.of(root, root).folder
    young = pushed.with_name("0123456789abcdef")
    for folder in (pushed, young):
        folder.mkdir(parents=True)
        (folder / ".complete").touch()
    remarks = prune(PruneRequest(key=KEY, older=60)).remarks
    assert any(pushed.name in text and "pushed project needs it" in text for text in remarks)
    assert any(young.name in text and "job has used it" in text for text in remarks)


def test_what_a_prune_that_was_killed_had_begun_to_remove_goes_with_the_next(root: Path) -> None:
    gone = root / STATE / "jobs" / f"{GONE}20260101-090000-train-aaaa"
    (gone / "code/read only").mkdir(parents=True)
    (gone / "code/read only/a.py").write_text("a")
    (gone / "code/read only").chmod(0o500)
    (gone.parent / "20260101-090000-train-aaaa.lock").touch()
    assert prune(PruneRequest(key=KEY, older=60, dry_run=True)).bytes > 0 and gone.is_dir()
    assert prune(PruneRequest(key=KEY, older=60)).bytes > 0
    assert list(gone.parent.iterdir()) == []


@pytest.fixture
def fixed(root: Path) -> Iterator[Path]:
    """A file of a job that can't be removed, as what a container wrote as root can't by others."""
    file = add(root, "20260101-090000-train-aaaa", state=FINISHED, ended=1.0).code / "out/ckpt.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    if os.getuid() or subprocess.run(["chattr", "+i", str(file)], capture_output=True).returncode:
        pytest.skip("Only root can make such a file, and not on each disk.")
    yield file
    for each in root.rglob(file.name):
        subprocess.run(["chattr", "-i", str(each)], check=True)


def test_what_can_not_be_removed_keeps_nothing_else(root: Path, fixed: Path) -> None:
    other = add(root, "20260101-100000-train-bbbb", state=FINISHED, ended=1.0)
    (other.folder / "x").write_bytes(bytes(5000))
    os.utime(other.folder, (1, 1))
    with pytest.raises(TargetError, match="1 job removed, but for .*ckpt.pt: Operation not"):
        remove(RemoveRequest(key=KEY, jobs=("aaaa",), force=True))
    first, again = (prune(PruneRequest(key=KEY, older=60, force=True)) for _ in range(2))
    assert first.jobs == (other.id,) and first.bytes >= 5000 and not other.folder.exists()
    for answer in (first, again):
        assert any("ckpt.pt: Operation not permitted" in text for text in answer.remarks)
    assert (again.unfinished, again.bytes) == (0, 0)
    (left,) = (path for path in root.rglob("*") if path.is_file() and GONE in str(path))
    assert left.name == fixed.name


def test_two_who_remove_the_same_jobs_are_both_answered(root: Path) -> None:
    names = ("20260101-090000-train-aaaa", "20260101-100000-train-bbbb")
    for name in names:
        add(root, name, state=FINISHED, ended=1.0)
    request = RemoveRequest(key=KEY, jobs=names, force=True)

    saving = mock.patch.object(prune_module, "keep_saved")

    def remove_first(paths: JobPaths) -> None:
        saving.stop()
        assert remove(request).removed == names

    saving.start().side_effect = remove_first
    assert remove(request) == RemoveAnswer(names, 0)
    assert not list((root / STATE / "jobs").iterdir())


def test_whether_an_unreadable_job_has_ended_is_not_made_up(root: Path) -> None:
    paths = add(root, "20260101-090000-train-aaaa")
    write_json(paths.status, {"state": "of a newer version"})
    with pytest.raises(JobError, match="has ended is unknown: status.json.state"):
        remove(RemoveRequest(key=KEY, jobs=("last",), force=True))


def test_what_an_array_was_written_by_goes_with_the_last_of_its_jobs(root: Path) -> None:
    kept, gone = add(root, "20260101-090000-train-aaaa"), root / STATE / "jobs/removed"
    for name, targets in {"both": (kept.folder, gone), "gone": (gone,)}.items():
        folder = root / STATE / "arrays" / name
        folder.mkdir(parents=True)
        for number, target in enumerate(targets):
            (folder / str(number)).symlink_to(target / "scheduler.out")
    prune(PruneRequest(key=KEY, older=60))
    assert [path.name for path in (root / STATE / "arrays").iterdir()] == ["both"]
