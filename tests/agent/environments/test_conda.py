"""Environments from environment.yml: once for each content, by what the server has of conda."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import ProjectEnvironment
from remote.errors import JobError
from remote.runtime.installed import installed

FAKE = Path(__file__).with_name("fake_conda.py")

FILE = """\
name: lab
channels: [conda-forge]
dependencies:
  - python=3.11
  - numpy>=2
  - cuda-cudart
  - pip:
    - six==1.16
    - -r requirements-more.txt
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code 日本"
    folder.mkdir()
    (folder / "environment.yml").write_text(FILE)
    (folder / "requirements-more.txt").write_text("idna==3.7\n")
    return folder


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Put the fake where it is named; PATH has nothing of conda's but `bin` here."""
    rest = [place for place in os.environ["PATH"].split(os.pathsep)
            if not any((Path(place) / name).exists() for name in ("conda", "mamba", "micromamba"))]  # fmt: skip
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), *rest]))

    def place(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        path.chmod(0o755)

    return place


def of(code: Path) -> ProjectEnvironment:
    return environments.of(code.parent / "target", code)


def made(code: Path) -> tuple[ProjectEnvironment, str]:
    """The environment, and what its log has."""
    env, log = of(code), io.BytesIO()
    env.make(log)
    return env, log.getvalue().decode()


@pytest.mark.parametrize("program", ["micromamba", "mamba", "conda"])
def test_each_of_condas_programs_makes_it(
    code: Path, put: Callable[[Path], None], tmp_path: Path, program: str
) -> None:
    put(tmp_path / "bin" / program)
    env, log = made(code)
    assert env.is_ready() and "making the environment" in log and "3 packages" in log
    found = installed(
        [str(next(env.folder.glob("lib/*/site-packages")))], env.folder / "conda-meta"
    )
    assert found == {
        "python": "3.11.9", "numpy": "2.1.0", "cuda-cudart": "12.4.127", "six": "1.16", "idna": "3.7"
    }  # fmt: skip
    assert subprocess.run([env.python, "-c", ""]).returncode == 0
    env.check(("json",))
    with pytest.raises(JobError) as caught:
        env.check(("json", "nbclient"))
    assert caught.value.hint == "Add to environment.yml: nbclient"


def test_it_is_made_once_for_each_content(
    code: Path, put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(Path.home() / "miniforge3/bin/conda")
    first, _ = made(code)
    (code / "train.py").write_text("1")
    shutil.rmtree(Path.home() / "miniforge3")
    assert made(code) == (first, "")
    # What pip reads counts too.
    (code / "requirements-more.txt").write_text("idna==3.6\n")
    assert of(code).name != first.name
    (code / "requirements-more.txt").write_text("idna==3.7\n")
    (code / "environment.yml").write_text(FILE + "    - attrs==24.1\n")
    assert of(code).name != first.name and not of(code).is_ready()


@pytest.mark.parametrize("changed", ["a/list.txt", "b/list.txt", "base.txt"])
def test_all_that_pip_reads_counts(code: Path, changed: str) -> None:
    items = "dependencies:\n  - pip:\n    - -r a/list.txt\n    - '-rb/list.txt'\n"
    (code / "environment.yml").write_text(items)
    for name, text in {"a/list.txt": "-c ../base.txt\n", "b/list.txt": "", "base.txt": ""}.items():
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text(text)
    first = of(code).name
    with open(code / changed, "a") as file:
        file.write("a==2\n")
    assert of(code).name != first


def test_a_lock_file_goes_before_it_unless_a_setting_says_otherwise(code: Path) -> None:
    assert of(code).kind is environments.ENVIRONMENTS["conda"]
    (code / "requirements.lock").write_text("a==1\n")
    assert of(code).kind is environments.ENVIRONMENTS["uv"]
    asked = environments.of(code, code, kind="conda")
    assert asked.kind is environments.ENVIRONMENTS["conda"] and len(asked.record()["lock"]) == 64


def test_without_any_of_them_the_job_is_refused_with_the_next_step(
    code: Path, put: Callable[[Path], None]
) -> None:
    with pytest.raises(JobError) as caught:
        of(code).check(())
    assert "micromamba, mamba, conda" in caught.value.message and "~/.local" in caught.value.hint
    with pytest.raises(JobError, match="no environment.yml"):
        environments.of(code.parent, code.parent, kind="conda")


def test_what_no_channel_has_is_told_by_conda_itself(
    code: Path, put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(tmp_path / "bin/mamba")
    (code / "environment.yml").write_text("dependencies:\n  - no-such-thing\n")
    env, log = of(code), io.BytesIO()
    with pytest.raises(JobError, match="mamba ended with 1"):
        env.make(log)
    assert b"no-such-thing" in log.getvalue() and not env.is_ready()


def test_one_without_python_is_told(
    code: Path, put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(tmp_path / "bin/micromamba")
    (code / "environment.yml").write_text("dependencies:\n  - numpy\n")
    env, _ = made(code)
    with pytest.raises(JobError, match="has no Python"):
        env.check(())
