"""A service as its environment starts it, and what JupyterLab notes of saved files."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.files import sha256
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import PRIVATE
from remote.rpc import bundle
from remote.runtime import serve


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    """The folder of a job in a target."""
    made = JobPaths((tmp_path / "it's a 目標").resolve(), "1-lab-a")
    made.folder.mkdir(parents=True)
    return made


@pytest.fixture
def left(paths: JobPaths) -> Iterator[list[Path]]:
    """The private folders that a service leaves, which lie outside of the test's own."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        shutil.rmtree(folder)


def started(paths: JobPaths, left: list[Path], **facts: Any) -> tuple[str, dict[str, str]]:
    """A service in an environment with nothing installed: what it said, where it would serve."""
    Job(id=paths.id, kind="service", source="", name="x", **facts).to_file(paths.job)
    agent = paths.root / "agent.zip"
    agent.write_bytes(bundle.packed(bundle.contents()))
    argv = [sys.executable, "-IS", str(agent), "serve", str(paths.folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    serving = json.loads(paths.serving.read_bytes())
    left.append(Path(serving["folder"]))
    return done.stderr, serving


@pytest.mark.parametrize(
    ("service", "lacks"), [("lab", "jupyterlab"), ("tensorboard", "tensorboard"), ("ui", "mlflow")]
)
def test_what_the_environment_lacks_is_told_with_the_next_step(
    paths: JobPaths, left: list[Path], service: str, lacks: str
) -> None:
    said, _ = started(paths, left, service=service)
    assert said.startswith(f"[remote] This environment lacks {lacks}. Add it")
    assert said.endswith(f"the lock file (inv add {lacks}), environment.yml, the image.\n")


def test_where_it_serves_is_the_accounts_own(paths: JobPaths, left: list[Path]) -> None:
    started(paths, left, service="ui")
    # By the beginning of its name the agent knows what it may remove.
    assert str(left[0]).startswith(PRIVATE)
    assert stat.S_IMODE(left[0].stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.serving.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("service", "folder", "page"),
    [
        ("lab", "src/my notes#1", "/lab/tree/src/my%20notes%231"),
        ("lab", None, "/lab/tree/"),
        ("lab", "/data/shared", "/lab"),
        ("ui", None, "/"),
    ],
)
def test_the_page_opens_at_the_folder_that_was_asked_for(
    paths: JobPaths, left: list[Path], service: str, folder: str | None, page: str
) -> None:
    _, serving = started(paths, left, service=service, folder=folder)
    assert serving["path"] == page


def save(paths: JobPaths, name: str, text: str = "x") -> Path:
    """What JupyterLab does after it saved a file of the target."""
    file = paths.root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    serve.note_save(os_path=str(file), model={}, contents_manager=None)
    return file


def noted(paths: JobPaths) -> dict[str, str]:
    notes: dict[str, str] = json.loads(paths.saved.read_bytes())
    return notes


@pytest.fixture
def lab(paths: JobPaths, monkeypatch: pytest.MonkeyPatch) -> JobPaths:
    monkeypatch.setenv("REMOTE_JOB_FOLDER", str(paths.folder))
    job = Job(id=paths.id, kind="service", source="", name="x", outputs=("models",))
    job.to_file(paths.job)
    return paths


def test_the_lab_notes_what_a_push_would_replace(lab: JobPaths) -> None:
    for name in (
        "src/a.ipynb",
        "data/results/lab/b.ipynb",
        "models/c.ipynb",
        "database.py",
        "../outside.ipynb",
    ):
        save(lab, name)
    assert sorted(noted(lab)) == ["database.py", "src/a.ipynb"]


def test_a_file_that_is_saved_again_counts_as_it_is_now(lab: JobPaths) -> None:
    save(lab, "src/other.py")
    save(lab, "src/a.ipynb", "first")
    file = save(lab, "src/a.ipynb", "second")
    assert noted(lab)["src/a.ipynb"] == sha256(file) and len(noted(lab)) == 2


def test_a_file_behind_a_link_counts_where_it_is(lab: JobPaths) -> None:
    (lab.root / "src").mkdir()
    (lab.root / "linked").symlink_to(lab.root / "src")
    save(lab, "linked/a.ipynb")
    (lab.root / "away").symlink_to(lab.root.parent)
    save(lab, "away/b.ipynb")
    assert list(noted(lab)) == ["src/a.ipynb"]
