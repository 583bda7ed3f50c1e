"""A job that runs once more on another target: what was submitted from here, whatever its server says."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from remote.agent.jobs.submit import freezing
from remote.config import Project
from remote.errors import JobError
from remote.files import read_json, write_json
from remote.job.messages.jobs import SubmitAnswer
from remote.job.messages.old_jobs import AccountAnswer
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec, read_job
from remote.job.status import FINISHED, JobStatus
from remote.operations.jobs.rerun import rerun
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submit import push_until_accepted
from remote.operations.jobs.submitted import (
    KEPT,
    Submitted,
    pushed_code,
    recall,
    remember,
    text_hash,
)
from remote.operations.sync import push
from remote.session import TargetSession
from remote.target import Target

JOB = "20260101-090000-train-aaaa"
ASKED = JobSpec(
    kind="command",
    source="",
    name="train",
    arguments=("python", "src/train.py"),
    env={"K": "1"},
    parameters={"lr": 0.1},
)


class World:
    """A project, the target `a` where its job ran, another target `b`, and what `b` is asked for."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "project", {})
        for name in ("src/train.py", "src/deep/a b.txt", "data/raw/x.csv", "日本.txt", "v.pyc"):
            self.write(self.project.root / name)
        (self.project.root / "link").symlink_to("src")
        (self.project.root / "outside").symlink_to("../elsewhere")
        self.a, self.b = (
            TargetSession.of(self.project, Target.parse(f"{folder}/{name}")) for name in "ab"
        )
        push(self.a)
        self.paths = JobPaths(Path(self.a.target.path), JOB)
        self.paths.folder.mkdir(parents=True)
        self.code = self.paths.pristine
        with freezing(self.paths, self.paths.root):
            pass
        write_json(self.paths.job, {**ASKED.to_json(), "id": JOB})
        write_json(self.paths.status, {"state": FINISHED})
        self.asked: list[JobSpec] = []

    @staticmethod
    def write(path: Path, text: str = "as it was") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_700_000_000, 1_700_000_000))

    def submitted(self) -> None:
        code = pushed_code(self.project.root, ())
        remember(self.project.state, JOB, Submitted(ASKED, code, text_hash("")))

    def say(self, **changes: Any) -> None:
        write_json(self.paths.job, {**read_json(self.paths.job), **changes})

    def rerun(self, **how: bool) -> Path:
        """What code arrived on `b`."""
        rerun(self.a, JOB, target=self.b, **how)
        (folder,) = Path(self.b.target.path).glob(".remote/incoming-*")
        return folder

    @property
    def arrived(self) -> list[Path]:
        return list(Path(self.b.target.path).glob(".remote/incoming-*"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)

    def ask(self: Submission, job: JobSpec, diff: str, *, push: str = "") -> SubmitAnswer:
        world.asked.append(job)
        return SubmitAnswer(id="20260102-090000-train-bbbb", environment_ready=True)

    monkeypatch.setattr(Submission, "ask", ask)
    return world


def test_what_was_submitted_runs_again_elsewhere(world: World) -> None:
    world.submitted()
    folder = world.rerun()
    assert (folder / "src/train.py").read_text() == "as it was" and (folder / "link").is_symlink()
    (asked,) = world.asked
    assert (asked.arguments, asked.env) == (ASKED.arguments, ASKED.env)
    assert asked.tags["remote.rerun_of"] == JOB
    # And from there once more.
    assert recall(world.project.state, "20260102-090000-train-bbbb") == recall(
        world.project.state, JOB
    )


#: What the server says that the job was.
SAID: list[tuple[str, dict[str, Any]]] = [
    ("kind", {"kind": "module", "source": "evil"}),
    ("arguments", {"arguments": ["sh", "-c", "echo $SECRET"]}),
    ("arguments", {"arguments": ["python", "src/train.py", "--more"]}),
    ("source", {"source": "src/other.py"}),
    ("env", {"env": {"K": "1", "LD_PRELOAD": "/tmp/x.so"}}),
    ("env", {"env": {}}),
    ("parameters", {"parameters": {"lr": 0.2}}),
    ("notify", {"notify": "curl evil.example"}),
    ("cwd", {"cwd": "src"}),
    ("extras", {"extras": ["evil"]}),
    ("outputs", {"outputs": ["models"]}),
]


@pytest.mark.parametrize(("name", "said"), SAID)
def test_what_the_server_says_otherwise_is_refused(
    world: World, name: str, said: dict[str, Any]
) -> None:
    world.submitted()
    world.say(**said)
    with pytest.raises(JobError, match=f"otherwise than it was.*{name}") as error:
        world.rerun()
    assert "--theirs" in error.value.hint and world.asked == [] == world.arrived
    world.rerun(theirs=True)
    assert getattr(world.asked[0], name) != getattr(ASKED, name)


def test_what_does_not_decide_on_the_run_is_taken_from_here(world: World) -> None:
    world.submitted()
    world.say(tags={"mine": "no"}, experiment="other", gpus=8, leases="/elsewhere", user="root")
    world.rerun()
    (asked,) = world.asked
    assert (asked.gpus, asked.leases, asked.experiment) == (
        None,
        "",
        "",
    ) and "mine" not in asked.tags


@pytest.mark.parametrize(
    "how",
    ["changed", "same size and time", "new", "gone", "link", "other link", "empty", "renamed"],
)
def test_code_that_is_not_what_was_submitted_is_refused(world: World, how: str) -> None:
    world.submitted()
    file = world.code / "src/train.py"
    if how == "changed":
        file.write_text("import os")
    elif how == "same size and time":
        world.write(file, "as it wAs")
    elif how == "new":
        world.write(world.code / "src/sitecustomize.py")
    elif how == "renamed":
        file.rename(file.with_name("train2.py"))
    elif how == "other link":
        (world.code / "link").unlink()
        (world.code / "link").symlink_to("src/deep")
    else:
        file.unlink()
        if how == "link":
            file.symlink_to("deep/a b.txt")
        elif how == "empty":
            file.touch()
    with pytest.raises(JobError, match="isn't what was submitted") as error:
        world.rerun()
    assert "--theirs" in error.value.hint and world.asked == [] == world.arrived


def test_what_was_never_submitted_from_here_is_refused(world: World) -> None:
    with pytest.raises(JobError, match="was not submitted from this machine"):
        world.rerun()
    assert world.asked == [] == world.arrived
    world.rerun(theirs=True)


def test_a_server_that_tells_of_another_job_is_refused(world: World) -> None:
    world.submitted()
    with pytest.raises(JobError, match="instead of 'other'"):
        told = AccountAnswer(read_job(world.paths.folder), JobStatus(FINISHED))
        world.a.agent = Namespace(call=lambda request: told)  # type: ignore[assignment]
        rerun(world.a, "other", target=world.b)
    assert world.asked == []


def test_a_file_that_a_push_held_back_is_no_part_of_what_was_submitted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.project.root
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    world.write(root / ".gitignore", "*_token.txt\n")
    world.write(root / "src/my_token.txt")
    monkeypatch.setattr(Submission, "ask", lambda *_, **__: SubmitAnswer(id=JOB))
    with contextlib.ExitStack() as way:
        push_until_accepted(Submission(world.a, None, way, request="0" * 32), ASKED)
    for folder in (world.paths.pristine, world.paths.code):
        shutil.rmtree(folder)
    with freezing(world.paths, world.paths.root):
        pass
    assert not (world.code / "src/my_token.txt").exists()
    assert (world.rerun() / ".gitignore").is_file()


def test_a_push_that_changed_nothing_is_hashed_the_same(world: World) -> None:
    root = world.project.root
    first = pushed_code(root, ())
    assert pushed_code(root, ()) == first
    world.write(root / "data/raw/more.csv")
    world.write(root / "src/__pycache__/x.pyc")
    world.write(root / ".env", "SECRET=1")
    assert pushed_code(root, ()) == first
    world.write(root / "src/train.py", "as it wAs")
    assert pushed_code(root, ()) != first


def test_what_is_kept_is_its_owners_alone_and_does_not_grow_for_ever(world: World) -> None:
    world.submitted()
    file = world.project.state / f"submitted/{JOB}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    for number in range(KEPT):
        (file.parent / f"20250101-{number:06}-old-0000.json").touch()
    world.submitted()
    assert len(list(file.parent.glob("*-*.json"))) == KEPT and file.exists()
