"""Environments that are images: by a stand-in for Apptainer, and by a real Docker engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from remote.agent import environments
from remote.agent.environments import ProjectEnvironment, in_container
from remote.errors import JobError
from tests.research.engine import BASE, Engine, engine  # noqa: F401

FAKE = Path(__file__).with_name("fake_apptainer.py")

SHOW = """
import json, os, sys
json.dump({"cwd": os.getcwd(), "words": sys.argv[1:], **os.environ}, sys.stdout)
"""


def of(root: Path, image: str) -> ProjectEnvironment:
    return environments.of(root, root, kind="container", source=image)


def made(root: Path, image: str) -> ProjectEnvironment:
    env = of(root, image)
    env.make(io.BytesIO())
    return env


def inside(env: ProjectEnvironment, cwd: Path, **variables: str) -> dict[str, str]:
    """What a program in the container sees."""
    argv = [str(env.python), "-c", SHOW, "two words", "$x"]
    said = subprocess.check_output(argv, cwd=cwd, env={**os.environ, **variables})
    return dict(json.loads(said))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "proj 日本"
    (folder / "data").mkdir(parents=True)
    (Path.home() / ".cache/remote-gpu-workflow").mkdir(parents=True)
    return folder


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is alone on PATH, but for the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def apptainer(bin: Path) -> Path:
    path = bin / "apptainer"
    path.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
    path.chmod(0o755)
    return path


def test_an_image_runs_the_code_where_it_lies(
    root: Path, apptainer: Path, bin: Path, tmp_path: Path
) -> None:
    (root / "x.sif").write_text("an image")
    (tmp_path / "disk").mkdir()
    (root / "data/raw").symlink_to(tmp_path / "disk")
    env = made(root, "x.sif")
    (root / "code").mkdir()
    seen = inside(env, root / "code", REMOTE_JOB_ID="a", PYTHONPATH="/site")
    assert seen["words"] == ["two words", "$x"] and seen["cwd"] == str(root / "code")
    assert seen["APPTAINER_CONTAINER"] == str(root / "x.sif") and seen["FLAGS"] == ""
    cache = Path.home() / ".cache/remote-gpu-workflow"
    assert seen["BINDS"].split("\n") == [str(root), str(cache), str(tmp_path / "disk")]
    assert (seen["REMOTE_JOB_ID"], seen["PYTHONPATH"]) == ("a", "/site")
    (bin / "nvidia-smi").touch(mode=0o755)
    assert inside(env, root)["FLAGS"] == "--nv"
    env.check(("json",))
    with pytest.raises(JobError) as caught:
        env.check(("json", "ipykernel9"))
    assert caught.value.hint == "Add to the image x.sif: ipykernel9"


def test_an_image_that_is_replaced_is_another_environment(root: Path, apptainer: Path) -> None:
    (root / "x.sif").write_text("an image")
    first = made(root, "x.sif")
    assert of(root, "x.sif").is_ready() and of(root, str(root / "x.sif")).name == first.name
    (root / "x.sif").write_text("a newer image")
    assert of(root, "x.sif").name != first.name


def test_a_name_is_fetched_once(root: Path, apptainer: Path) -> None:
    env = made(root, "lab/torch:2.8")
    assert (env.folder / "image.sif").read_text() == "docker://lab/torch:2.8"
    assert inside(env, root)["APPTAINER_CONTAINER"] == str(env.folder / "image.sif")
    # It moves with the target.
    moved = root.rename(root.with_name("moved"))
    env = of(moved, "lab/torch:2.8")
    apptainer.write_text(apptainer.read_text().replace('"pull"', '"-"'))
    assert env.is_ready()
    assert inside(env, moved)["APPTAINER_CONTAINER"] == str(env.folder / "image.sif")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("x.sif", "There is no image {root}/x.sif"),
        ("/no/such.sif", "There is no image /no/such.sif"),
        ("", "no image is named"),
    ],
)
def test_an_image_that_is_not_there_is_told_before_the_job_starts(
    root: Path, apptainer: Path, image: str, words: str
) -> None:
    with pytest.raises(JobError, match=words.format(root=root)):
        of(root, image).check(())


@pytest.mark.parametrize("has_docker", [False, True])
def test_a_server_that_runs_no_containers_is_told_with_the_next_step(
    root: Path, bin: Path, has_docker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(bin))
    if has_docker:
        (bin / "docker").write_text("#!/bin/sh\nexit 1\n")
        (bin / "docker").chmod(0o755)
    with pytest.raises(JobError) as caught:
        of(root, "lab/torch").check(())
    assert ("this account may not" in caught.value.message) is has_docker
    assert "Apptainer" in caught.value.hint


def test_an_image_without_a_python_that_will_do_makes_no_environment(
    root: Path, apptainer: Path
) -> None:
    (root / "x.sif").write_text("an image")
    apptainer.write_text("#!/bin/sh\necho 'python3: executable file not found' >&2; exit 255\n")
    env, log = of(root, "x.sif"), io.BytesIO()
    with pytest.raises(JobError, match="python ended with 255"):
        env.make(log)
    assert b"executable file not found" in log.getvalue() and not env.is_ready()


@pytest.mark.parametrize(
    ("visible", "words"),
    [
        (None, ["--gpus", "all"]),
        ("", []),
        ("GPU-aa-1,GPU-bb-2", ["--gpus", '"device=GPU-aa-1,GPU-bb-2"']),
        ("0,1", ["--gpus", '"device=0,1"']),
        ('0",all', ["--gpus", "all"]),
    ],
)
def test_docker_is_asked_for_the_jobs_own_cards(
    bin: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, words: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert in_container.devices() == []
    (bin / "nvidia-smi").touch(mode=0o755)
    assert in_container.devices() == words


@pytest.mark.slow
def test_a_real_docker_runs_an_image(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)
    image = BASE if engine.private else "python:3.11-slim"
    env = made(root, image)
    seen = inside(env, root, REMOTE_JOB_ID="a", SECRET="p w", LD_PRELOAD="")
    assert (seen["cwd"], seen["words"]) == (str(root), ["two words", "$x"])
    assert (seen["SECRET"], seen["HOME"]) == ("p w", f"{root}/.remote/home")
    assert seen["PATH"] != os.environ["PATH"] and "LD_PRELOAD" not in seen
    write = "import sys; open('data/out.txt', 'w').write(sys.version)"
    subprocess.run([env.python, "-c", write], cwd=root, check=True)
    assert (root / "data/out.txt").stat().st_uid == os.getuid()
    failed = subprocess.run([env.python, "-c", "import sys; sys.exit(3)"], cwd=root)
    assert failed.returncode == 3
    env.check(("json",))
