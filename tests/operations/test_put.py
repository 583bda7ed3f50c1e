"""Files copied to a target by hand: the real rsync, to a target on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConfigError, TransferError
from remote.operations.put import put
from remote.operations.sync import push
from remote.session import TargetSession
from remote.target import Target


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    """A project that was pushed."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text('[tool.remote]\nlinks = { "data/big" = "/usr" }\n')
    os.utime(root / "pyproject.toml", (1_700_000_000, 1_700_000_000))
    session = TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "a 目標")))
    push(session)
    return session


@pytest.fixture
def there(server: TargetSession) -> Path:
    return Path(server.target.path)


def test_files_and_folders_are_copied_once_and_no_push_deletes_them(
    server: TargetSession, there: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a [b] 'c'.bin").write_text("one")
    (tmp_path / "set/inner").mkdir(parents=True)
    (tmp_path / "set/inner/2.txt").write_text("two")
    (tmp_path / "set/link").symlink_to("inner/2.txt")
    (tmp_path / "set/.env").write_text("KEY=1")
    names = [str(tmp_path / "in/a [b] 'c'.bin"), str(tmp_path / "set")]
    mode = there.stat().st_mode
    tally = put(server, names, "data/raw/new")
    assert "data/raw/new/a [b] 'c'.bin" in tally.sent and len(tally.sent) == 3
    assert (there / "data/raw/new/a [b] 'c'.bin").read_text() == "one"
    assert os.readlink(there / "data/raw/new/set/link") == "inner/2.txt"
    assert not (there / "data/raw/new/set/.env").exists() and there.stat().st_mode == mode
    assert put(server, names, "data/raw/new").sent == []
    push(server)
    assert (there / "data/raw/new/set/inner/2.txt").read_text() == "two"
    # What it replaces is kept.
    (tmp_path / "set/inner/2.txt").write_text("newer")
    assert put(server, names, "data/raw/new").sent == ["data/raw/new/set/inner/2.txt"]
    (kept,) = there.glob(".remote/backup/*/data/raw/new/set/inner/2.txt")
    assert kept.read_text() == "two"


def test_a_link_of_data_to_another_disk_stays_one(
    server: TargetSession, there: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (there / "data/raw").symlink_to(tmp_path / "disk")
    (tmp_path / "x").write_text("x")
    put(server, [str(tmp_path / "x")])
    assert (there / "data/raw").is_symlink() and (tmp_path / "disk/x").read_text() == "x"


def test_what_is_not_there_as_here_is_told_though_times_and_sizes_agree(
    server: TargetSession, there: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("right")
    put(server, [str(tmp_path / "x")])
    copy = there / "data/raw/x"
    times = copy.stat().st_mtime_ns
    copy.write_text("wrong")
    os.utime(copy, ns=(times, times))
    with pytest.raises(TransferError, match="Different on the server.*data/raw/x"):
        put(server, [str(tmp_path / "x")])


@pytest.mark.parametrize(
    ("files", "to", "words"),
    [
        (["/no/such/file"], "data/raw", "There is no '/no/such/file' on this machine"),
        (["/dev/null"], "data/raw", "/dev/null is no file and no folder"),
        (["/etc/hostname", "/proc/sys/kernel/hostname"], "data/raw", "Two of these are called"),
        (["/etc/hostname"], "src", "a push would delete it"),
        (["/etc/hostname"], "data/../src", "a push would delete it"),
        (["/etc/hostname"], "/etc", "a push would delete it"),
        (["/etc/hostname"], "data/big/more", "data/big of the target is a link to /usr"),
    ],
)
def test_what_can_not_be_copied_is_refused(
    server: TargetSession, files: list[str], to: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        put(server, files, to)


def test_what_stays_of_a_folder_is_named(
    server: TargetSession, there: Path, tmp_path: Path
) -> None:
    (server.project.root / ".rsyncignore").write_text("!public.key\n")
    (tmp_path / "set/inner/.aws").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("set/inner/model.key", "set/public.key", "set/inner/.aws/x", "beside", "other/x"):
        (tmp_path / name).write_text("x")
    links = {"set/a": "../beside", "set/inner/b": "../../other/x", "set/c": "public.key",
             "set/inner/d": "../c", "set/e": str(tmp_path / "beside"), "set/f": "gone"}  # fmt: skip
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    put(server, [str(tmp_path / "set")])
    tally = put(server, [str(tmp_path / "set")])
    left = {problem.path for problem in tally.problems}
    assert left == {
        str(tmp_path / "set" / name) for name in ("a", "inner/b", "inner/model.key", "inner/.aws")
    }
    assert (there / "data/raw/set/e").read_text() == "x"
    both = put(server, [str(tmp_path / "set"), str(tmp_path / "other")])
    assert {problem.path for problem in both.problems} == left - {str(tmp_path / "set/inner/b")}
    assert (there / "data/raw/set/inner/b").read_text() == "x"


def test_a_secret_stays_here(server: TargetSession, tmp_path: Path) -> None:
    (tmp_path / "id_rsa").write_text("key")
    with pytest.raises(ConfigError, match="looks like a secret"):
        put(server, [str(tmp_path / "id_rsa")])
