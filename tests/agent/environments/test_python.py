"""Environments that others made: found by what names them, and looked at before a job needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import ProjectEnvironment
from remote.errors import JobError
from remote.job.spec import JobSpec


def named(source: str, root: Path = Path("/nowhere")) -> ProjectEnvironment:
    job = JobSpec("command", "", "x", environment="python", environment_source=source)
    return environments.of_job(root, root, job)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment in which nothing is installed."""
    folder = tmp_path / "target/env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def make_prefix(folder: Path) -> Path:
    """What looks like an environment of conda's."""
    (folder / "conda-meta").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    return folder


def test_an_interpreter_is_named_by_itself_or_by_its_folder(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = venv / "bin/python"
    for source in (str(python), str(venv), "env", "./env/bin/python"):
        env = named(source, root=venv.parent)
        assert env.python == python and env.is_ready() and env.missing_programs() == ()
    monkeypatch.setenv("HOME", str(venv.parent))
    assert named("~/env").python == python
    # What `module load` puts first is a name alone.
    monkeypatch.setenv("PATH", f"{venv}/bin")
    assert named("python3").python == venv / "bin/python3"


@pytest.mark.parametrize(
    ("kind", "way"),
    [("python", "'s pip"), ("conda", "environment.yml"), ("container", "to the image")],
)
def test_extras_are_refused_where_no_lock_file_has_them(
    tmp_path: Path, kind: str, way: str
) -> None:
    for name in ("environment.yml", "requirements-torch.lock", "requirements.lock"):
        (tmp_path / name).write_text("")
    job = JobSpec("command", "", "x", environment=kind, environment_source="a/b:1")
    environments.of_job(tmp_path, tmp_path, job).refuse_extras()
    job = job.replace(extras=("torch",))
    with pytest.raises(JobError, match="--extra torch: extras belong to a lock file") as caught:
        environments.of_job(tmp_path, tmp_path, job).refuse_extras()
    assert way in caught.value.hint
    environments.of_job(tmp_path, tmp_path, job.replace(environment="uv")).refuse_extras()


def test_each_name_has_its_own_name_in_the_status() -> None:
    assert named("/a").record() == {"environment": named("/a").name}
    assert named("/a").name != named("/b").name


def test_environments_of_conda_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path.home()
    base = make_prefix(home / "miniforge3")
    torch = make_prefix(base / "envs/torch")
    # One that was made elsewhere, in conda's own list, which also has one that is gone.
    other = make_prefix(tmp_path / "disk/other")
    listed = home / ".conda/environments.txt"
    listed.parent.mkdir()
    listed.write_text(f"{other}\n{tmp_path}/gone\n")
    shared = make_prefix(tmp_path / "shared/lab")
    monkeypatch.setenv("CONDA_ENVS_PATH", str(shared.parent))
    found = {name: named(f"conda:{name}").python for name in ("base", "torch", "other", "lab")}
    assert found == {
        "base": base / "bin/python",
        "torch": torch / "bin/python",
        "other": other / "bin/python",
        "lab": shared / "bin/python",
    }
    with pytest.raises(
        JobError, match=r"'gone' on this server; there are: base, lab, other, torch"
    ):
        named("conda:gone").check(())


@pytest.mark.parametrize("source", ["/no/such/env", "no-such-program", "", "conda:x"])
def test_what_is_not_there_is_told_before_the_job_starts(source: str) -> None:
    with pytest.raises(JobError) as caught:
        named(source).check(())
    assert "python" in caught.value.hint and (source in caught.value.message or "x" in source)


def test_what_a_job_needs_there_is_looked_for_and_named_with_the_next_step(venv: Path) -> None:
    env = named(str(venv))
    env.check(())
    env.check(("json", "sqlite3"))
    with pytest.raises(JobError) as caught:
        env.check(("json", "ipykernel", "nbclient"))
    assert caught.value.message == (
        f"{venv}/bin/python lacks ipykernel and nbclient, which this job needs."
    )
    assert caught.value.hint == f"{venv}/bin/python -m pip install ipykernel nbclient"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 3.6; exit 1", "is Python 3.6; jobs need 3.8 or newer"),
        ("echo 'libffi.so.7: not found' >&2; exit 127", "doesn't run: libffi.so.7: not found"),
        ("exit 1", "doesn't run: it prints nothing"),
        ("exit 0", "is no Python"),
    ],
)
def test_one_that_cannot_run_jobs_is_told(tmp_path: Path, script: str, words: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(JobError, match=words) as caught:
        named(str(python)).check(())
    other = "3.8" in words
    assert caught.value.hint.startswith(
        "Name another" if other else f"Try it on the server: {python}"
    )


def test_a_kind_that_this_version_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no kind of environment 'nix'"):
        environments.of(tmp_path, tmp_path, kind="nix")
