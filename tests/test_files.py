"""Files that others read: whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from remote.files import (
    copy_new,
    full_disk,
    locked,
    login_name,
    name_new,
    overwrite,
    read_json,
    write_atomic,
    write_json,
)
from tests.conftest import ROOT


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"home"}


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    before = path.open()
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new" and before.read() == "old"
    assert left(tmp_path) == {"a"}


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o700])
def test_a_file_gets_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    write_atomic(tmp_path / "a", b"", mode=mode)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a" / "inner").mkdir(parents=True)
    with pytest.raises(OSError):
        write_atomic(tmp_path / "a", b"new")
    assert left(tmp_path) == {"a"} and (tmp_path / "a" / "inner").is_dir()


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"text": "x" * 100_000})
    done = threading.Event()

    def write_on() -> None:
        for number in range(100):
            write_json(path, {"text": str(number % 10) * 100_000})
        done.set()

    writer = threading.Thread(target=write_on)
    writer.start()
    while not done.is_set():
        assert len(set(read_json(path)["text"])) == 1
    writer.join()


@pytest.mark.parametrize(
    "value", [None, 1, "日本\n'\"", {"b": [1, {"a": None}]}, "\udcff from a file name"]
)
def test_json_comes_back_as_it_was(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a", {"value": value})
    found = read_json(tmp_path / "a")
    assert found is not None and found == {"value": value}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"nonsense"])
def test_what_is_no_json_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_json(tmp_path / "a") is None


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "nowhere" / "a") is None
    assert read_json(tmp_path) is None


LOCKER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from remote.files import locked
with locked(Path({path!r})):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_against_other_processes_and_freed_by_death(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "lock"
    script = LOCKER.format(root=str(ROOT), path=str(path))
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline() == b"held\n"
    got = threading.Event()

    def take() -> None:
        with locked(path):
            got.set()

    taker = threading.Thread(target=take)
    taker.start()
    try:
        assert not got.wait(0.3)
    finally:
        other.kill()
        other.communicate()
    assert got.wait(5)
    taker.join()


def test_a_lock_can_be_taken_again(tmp_path: Path) -> None:
    # One that stayed would be waited for until the test's own time is over.
    for _ in range(2):
        with locked(tmp_path / "lock"):
            pass


def test_a_copy_is_complete_and_read_only(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(os.urandom(3_000_000))
    target = copy_new(source, tmp_path / "new" / "folder" / "b.ipynb", mode=0o444)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o444
    assert left(target.parent) == {"b.ipynb"}


def test_a_copy_never_goes_over_a_file(tmp_path: Path) -> None:
    source = tmp_path / "a"
    taken = []
    for number in range(3):
        source.write_text(str(number))
        taken.append(copy_new(source, tmp_path / "out" / "r.ipynb", mode=0o444))
    assert [path.name for path in taken] == ["r.ipynb", "r-2.ipynb", "r-3.ipynb"]
    assert [path.read_text() for path in taken] == ["0", "1", "2"]


def test_a_name_with_dots_keeps_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    names = [copy_new(tmp_path / "a", tmp_path / "r.failed.ipynb", mode=0o644) for _ in "12"]
    assert [path.name for path in names] == ["r.failed.ipynb", "r.failed-2.ipynb"]


def test_copies_made_at_once_get_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    found: list[Path] = []

    def copy() -> None:
        found.append(copy_new(tmp_path / "a", tmp_path / "out" / "r", mode=0o644))

    threads = [threading.Thread(target=copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8 and len(left(tmp_path / "out")) == 8


def test_a_copy_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_new(tmp_path / "nowhere", tmp_path / "out" / "r", mode=0o644)
    assert left(tmp_path / "out") == set()


def test_one_more_name_is_no_copy_and_never_that_of_another_file(tmp_path: Path) -> None:
    source, taken = tmp_path / "a", tmp_path / "out" / "r.ipynb"
    source.write_text("x")
    taken.parent.mkdir()
    taken.write_text("other")
    named = name_new(source, taken, mode=0o444)
    assert named.name == "r-2.ipynb" and named.samefile(source) and taken.read_text() == "other"
    assert stat.S_IMODE(named.stat().st_mode) == 0o444


def test_a_file_that_can_have_no_other_name_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onto another disk."""
    (tmp_path / "a").write_text("x")
    link = os.link

    def refuse(source: str, target: str) -> None:
        if Path(source) == tmp_path / "a":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    named = name_new(tmp_path / "a", tmp_path / "out" / "b", mode=0o444)
    assert named.read_text() == "x" and not named.samefile(tmp_path / "a")


def test_what_is_written_over_a_file_is_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 9999)
    overwrite(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        overwrite(tmp_path / "b", b"new")


def test_a_full_disk_here_is_told_with_what_lies_on_it() -> None:
    told = full_disk(OSError(errno.ENOSPC, "No space left on device", "/proj/x"))
    assert told is not None and "this machine" in told.message and "/proj/x" in told.message
    assert full_disk(OSError(errno.EDQUOT, "Disk quota exceeded")) is not None
    assert full_disk(OSError(errno.EACCES, "Permission denied")) is None


def test_a_machine_without_room_for_temporary_files_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    told = full_disk(caught.value)
    assert told is not None and "TMPDIR" in told.hint


def test_who_has_no_name_here_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    known = login_name()
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert login_name() == str(os.getuid()) != known
