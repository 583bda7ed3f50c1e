"""data/raw is read-only while jobs run: real modes, real locks, real rsync."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.agent import raw_data
from remote.agent.raw_data import ReadOnly, is_pushed_to
from remote.job.paths import STATE
from tests.conftest import ROOT
from tests.waiting import until

MODES = {
    "a.csv": 0o644,
    "shared.csv": 0o664,
    "open to all": 0o666,
    "kept.csv": 0o444,
    "private/b.bin": 0o600,
    "画像/new\nline.png": 0o640,
    "deep/er/c": 0o755,
}
FOLDERS = {"": 0o775, "private": 0o700, "画像": 0o2775, "deep": 0o755, "deep/er": 0o555}

HOLDS = """
import sys, time
from pathlib import Path
from remote.agent.raw_data import ReadOnly
ReadOnly(Path(sys.argv[1])).take()
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "the target"
    for name, mode in MODES.items():
        file = made / raw_data.FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(mode)
    for name, mode in FOLDERS.items():
        (made / raw_data.FOLDER / name).chmod(mode)
    return made


@pytest.fixture
def jobs() -> Iterator[Callable[[Path], ReadOnly]]:
    """Makes a job's part, which ends with the test."""
    made: list[ReadOnly] = []

    def make(root: Path) -> ReadOnly:
        made.append(ReadOnly(root))
        return made[-1]

    yield make
    for each in made:
        each.give_back()


def modes(root: Path) -> dict[str, int]:
    top = root / raw_data.FOLDER
    found = [top, *(path for path in top.rglob("*") if not path.is_symlink())]
    return {str(path.relative_to(top)): stat.S_IMODE(path.stat().st_mode) for path in found}


def writable(root: Path) -> list[str]:
    return sorted(name for name, mode in modes(root).items() if mode & 0o222)


def test_bits_are_taken_and_given_back_exactly(
    root: Path, jobs: Callable[[Path], ReadOnly]
) -> None:
    before = modes(root)
    job = jobs(root)
    job.take()
    assert modes(root) == {name: mode & ~0o222 for name, mode in before.items()}
    job.give_back()
    assert modes(root) == before
    assert not job.taken.exists()


def test_the_last_one_gives_back(root: Path, jobs: Callable[[Path], ReadOnly]) -> None:
    before = modes(root)
    one, two, three = jobs(root), jobs(root), jobs(root)
    one.take()
    two.take()
    one.give_back()
    assert writable(root) == []
    three.take()
    two.give_back()
    assert writable(root) == []
    three.give_back()
    three.give_back()
    assert modes(root) == before


@contextmanager
def killed(root: Path) -> Iterator[None]:
    """A process that has taken the bits, and is killed in the end."""
    argv = [sys.executable, "-c", HOLDS, str(root)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "taken\n"
        yield
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("healer", ["the next job", "who finds it lost"])
def test_a_job_that_was_killed_is_healed(
    root: Path, jobs: Callable[[Path], ReadOnly], healer: str
) -> None:
    before = modes(root)
    with killed(root):
        jobs(root).give_back()
        meanwhile = writable(root)
    assert meanwhile == writable(root) == []
    job = jobs(root)
    if healer == "the next job":
        (root / raw_data.FOLDER / "made since").mkdir()
        job.take()
        assert writable(root) == []
    job.give_back()
    made = {"made since": modes(root).pop("made since", None)} if healer == "the next job" else {}
    assert modes(root) == {**before, **made} and made.get("made since", 0o200)


def test_links_lead_to_what_others_own(
    root: Path, tmp_path: Path, jobs: Callable[[Path], ReadOnly]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("")
    top = root / raw_data.FOLDER
    (top / "to a folder").symlink_to(theirs)
    (top / "to a file").symlink_to(theirs / "file")
    (top / "to nothing").symlink_to("nowhere")
    job = jobs(root)
    job.take()
    # While the job runs, a push puts a link where a folder was.
    top.chmod(0o755)
    (top / "private").chmod(0o700)
    shutil.rmtree(top / "private")
    (theirs / "b.bin").touch(0o400)
    (top / "private").symlink_to(theirs)
    job.give_back()
    assert stat.S_IMODE((theirs / "b.bin").stat().st_mode) == 0o400
    assert os.access(theirs, os.W_OK) and stat.S_IMODE((theirs / "file").stat().st_mode) & 0o200


def test_a_raw_that_is_a_link_or_not_there_is_left_alone(
    tmp_path: Path, jobs: Callable[[Path], ReadOnly]
) -> None:
    root, theirs = tmp_path / "root", tmp_path / "theirs"
    theirs.mkdir()
    (root / "data").mkdir(parents=True)
    job = jobs(root)
    job.take()
    job.give_back()
    (root / raw_data.FOLDER).symlink_to(theirs)
    jobs(root).take()
    assert theirs.stat().st_mode & 0o200
    assert not (root / STATE).exists()


def test_data_on_another_disk_is_protected(
    root: Path, tmp_path: Path, jobs: Callable[[Path], ReadOnly]
) -> None:
    (root / "data").rename(tmp_path / "large disk")
    (root / "data").symlink_to(tmp_path / "large disk")
    job = jobs(root)
    job.take()
    assert writable(root) == []


def test_what_a_push_held_back_can_be_gone_on_with(
    root: Path, jobs: Callable[[Path], ReadOnly]
) -> None:
    held = root / raw_data.FOLDER / "deep/.~tmp~/half"
    held.parent.mkdir()
    held.touch()
    jobs(root).take()
    assert writable(root) == ["deep/.~tmp~", "deep/.~tmp~/half"]


# A push, meanwhile


@pytest.fixture
def here(root: Path, tmp_path: Path) -> Path:
    """The project that the target was pushed from."""
    subprocess.run(["cp", "-a", f"{root}/", f"{tmp_path}/here"], check=True)
    return tmp_path / "here"


def rsync(here: Path, root: object, *more: str) -> subprocess.Popen[bytes]:
    argv = ["rsync", "-rlpt", "--delay-updates", *more, "--exclude=/.remote", "./", f"{root}/"]
    return subprocess.Popen(argv, cwd=here)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@needs_proc
def test_what_a_push_makes_writable_is_taken_again(
    root: Path, here: Path, jobs: Callable[[Path], ReadOnly], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_data, "LOOK", 0.05)
    job = jobs(root)
    job.take()
    (here / raw_data.FOLDER / "new.csv").touch(0o640)
    (here / raw_data.FOLDER / "a.csv").write_text("changed")
    assert rsync(here, root).wait() == 0
    until(lambda: writable(root) == [])
    job.give_back()
    assert modes(root) == modes(here)
    assert modes(root)["new.csv"] == 0o640


@pytest.fixture
def shell(tmp_path: Path, root: Path) -> str:
    """In place of ssh: starts rsync's other end in the target."""
    script = tmp_path / "shell"
    script.write_text(f"#!/bin/sh\nshift\ncd '{root}' && exec \"$@\"\n")
    script.chmod(0o755)
    return f"--rsh={script}"


@needs_proc
@pytest.mark.parametrize("way", ["to a folder", "by ssh"])
def test_a_job_that_starts_during_a_push_waits_with_it(
    way: str,
    shell: str,
    root: Path,
    here: Path,
    jobs: Callable[[Path], ReadOnly],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(raw_data, "LOOK", 0.05)
    (here / raw_data.FOLDER / "large").write_bytes(bytes(400_000))
    more = ["--bwlimit=200", "--whole-file"]
    more += [shell] if way == "by ssh" else []
    pushing = rsync(here, "server:." if way == "by ssh" else root, *more)
    until(lambda: is_pushed_to(root))
    assert not is_pushed_to(here)
    job = jobs(root)
    job.take()
    assert writable(root) != [] and pushing.poll() is None
    assert pushing.wait() == 0
    until(lambda: writable(root) == [])
    assert (root / raw_data.FOLDER / "large").stat().st_size == 400_000
    assert not is_pushed_to(root)


@needs_proc
def test_a_pull_is_no_push(shell: str, root: Path, tmp_path: Path) -> None:
    (root / raw_data.FOLDER / "large").write_bytes(bytes(400_000))
    there = tmp_path / "pulled"
    there.mkdir()
    words = ["rsync", "-r", "--bwlimit=200", "--whole-file", shell, "server:./", "./"]
    with subprocess.Popen(words, cwd=there) as pulling:
        until(lambda: (there / raw_data.FOLDER).is_dir())
        assert not is_pushed_to(root)
        pulling.terminate()
