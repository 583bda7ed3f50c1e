"""A target on its server: whose it is, what may be done to it, what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from remote.agent import target_dir
from remote.errors import ProtocolError, TargetError
from remote.job.messages.target import PrepareAnswer, PrepareRequest
from remote.job.outputs import paths
from remote.job.paths import CACHE, STATE

KEY, OURS, OTHERS = "0" * 16, "a" * 32, "b" * 32


def prepare(path: object, project: str = OURS, **options: bool) -> PrepareAnswer:
    request = PrepareRequest(path=str(path), key=KEY, project=project, **options)
    return target_dir.prepare(request)


def picture(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "srv" / "proj"


def tools(folder: Path, *names: str) -> str:
    """A PATH with nothing but these programs."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_a_new_folder_becomes_ours(root: Path, isolated: Path) -> None:
    answer = prepare(root)
    assert answer.state == "ours" and answer.root == str(root)
    assert (root / STATE / "projects" / OURS).is_dir() and (root / STATE / "jobs").is_dir()
    for name in set(paths()) - {"mlflow.db", "mlartifacts"}:
        assert (root / name).is_dir(), name
    assert os.readlink(target_dir.link(KEY)) == str(root)
    assert target_dir.root_of(KEY) == root


def test_an_empty_folder_becomes_ours(root: Path) -> None:
    (root / "lost+found").mkdir(parents=True)
    assert prepare(root).state == "ours"


def test_what_is_ours_stays_ours(root: Path) -> None:
    prepare(root)
    (root / "src").mkdir()
    before = picture(root)
    assert prepare(root).state == "ours"
    assert picture(root) == before


def test_files_of_others_are_foreign_and_untouched(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "thesis.tex").write_text("x")
    before = picture(root)
    assert prepare(root, look=True).state == "foreign"
    assert picture(root) == before
    assert prepare(root).state == "foreign"
    assert sorted(path.name for path in root.iterdir()) == [".remote", "thesis.tex"]
    assert (root / "thesis.tex").read_text() == "x"


def test_a_target_of_another_project_is_foreign(root: Path) -> None:
    prepare(root, OTHERS)
    assert prepare(root).state == "foreign"
    assert prepare(root, OTHERS).state == "ours"


def test_taking_over_makes_it_ours_and_leaves_the_others_claim(root: Path) -> None:
    prepare(root, OTHERS)
    assert prepare(root, take_over=True).state == "ours"
    assert prepare(root).state == "ours"
    assert prepare(root, OTHERS).state == "ours"


def test_a_look_at_nothing_makes_nothing(root: Path, tmp_path: Path) -> None:
    assert prepare(root, look=True).state == "absent"
    assert not root.parent.exists() and not target_dir.link(KEY).exists()


def test_a_look_at_what_others_have_changes_nothing(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "thesis.tex").write_text("x")
    before = picture(root)
    assert prepare(root, look=True).state == "foreign"
    assert picture(root) == before


def test_a_look_at_what_is_ours_changes_nothing(root: Path) -> None:
    prepare(root)
    shutil.rmtree(root / "logs")
    before = picture(root)
    assert prepare(root, look=True).state == "ours"
    assert picture(root) == before


@pytest.mark.parametrize("name", ["a b", "it's", '"', "$(touch pwned)", "日本", "-dash", "a\nb"])
def test_odd_folders_are_taken_as_they_are(root: Path, name: str) -> None:
    assert prepare(root / name).root == str(root / name)
    assert target_dir.root_of(KEY) == root / name


def test_a_relative_path_counts_from_the_home(isolated: Path) -> None:
    assert prepare("proj/x").root == str(isolated / "proj/x")
    assert prepare("~/proj/y").root == str(isolated / "proj/y")


def test_a_link_to_a_folder_is_followed_once_and_for_all(root: Path, tmp_path: Path) -> None:
    disk = tmp_path / "big disk"
    disk.mkdir()
    root.parent.mkdir()
    root.symlink_to(disk)
    assert prepare(root).root == str(disk)
    assert os.readlink(target_dir.link(KEY)) == str(disk)


def test_a_target_that_moves_is_found_anew(tmp_path: Path) -> None:
    prepare(tmp_path / "one")
    prepare(tmp_path / "two")
    assert target_dir.root_of(KEY) == tmp_path / "two"
    assert [path.name for path in target_dir.link(KEY).parent.iterdir()] == [KEY]


@pytest.mark.parametrize("path", ["", ".", "~", "x/..", "..", "/", "~/../", "/.."])
def test_the_home_and_what_is_around_it_are_refused(isolated: Path, path: str) -> None:
    before = picture(isolated)
    with pytest.raises(TargetError, match="home folder"):
        prepare(path)
    assert picture(isolated) == before


def test_a_link_to_the_home_is_refused(isolated: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(isolated)
    with pytest.raises(TargetError, match="home folder"):
        prepare(tmp_path / "link")


def test_a_folder_that_no_path_variable_can_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    (tmp_path / "link").symlink_to("a:b")
    for name in ("a:b", "link/proj"):
        with pytest.raises(TargetError, match="has a colon in its name"):
            prepare(tmp_path / name)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TargetError, match="is a file"):
        prepare(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("options", [{}, {"look": True}])
def test_a_folder_below_a_file_is_told(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TargetError, match="file on the server is a file"):
        prepare(tmp_path / "file/proj", **options)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(TargetError, match="can't be written to"):
            prepare(tmp_path / "proj")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_where_nobody_can_write_is_told_with_the_place() -> None:
    """/proc takes no folders, not even root's."""
    with pytest.raises(TargetError, match="^/proc on the server can't be written to"):
        prepare(Path("/proc/proj"))


def test_missing_tools_are_named_with_what_installs_them(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", tools(tmp_path / "bin"))
    with pytest.raises(TargetError) as caught:
        prepare(root)
    assert caught.value.message == "The server lacks rsync and tmux."
    assert "sudo apt-get install -y rsync tmux" in caught.value.hint
    assert not root.exists()


@pytest.mark.parametrize("missing", ["rsync", "tmux"])
def test_one_missing_tool_is_named_alone(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    others = {"rsync", "tmux"} - {missing}
    monkeypatch.setenv("PATH", tools(tmp_path / "bin", *others))
    with pytest.raises(TargetError) as caught:
        prepare(root)
    assert caught.value.message == f"The server lacks {missing}."
    assert f"sudo apt-get install -y {missing} (or" in caught.value.hint


@pytest.mark.parametrize("key", ["", "../x", "0" * 15, "0" * 17, "G" * 16, "0" * 16 + "\n"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ProtocolError, match="key"):
        PrepareRequest.from_json({"key": key, "path": "p", "project": OURS}, "request")


@pytest.mark.parametrize("project", ["", "..", "a" * 31, "/etc", "a" * 32 + "\n"])
def test_what_is_no_project_is_refused(project: str) -> None:
    with pytest.raises(ProtocolError, match="project"):
        PrepareRequest.from_json({"key": KEY, "path": "p", "project": project}, "request")


def test_a_target_never_pushed_to_says_push_first() -> None:
    with pytest.raises(TargetError) as caught:
        target_dir.root_of(KEY)
    assert "Push first" in caught.value.hint


def test_a_target_that_was_removed_says_push_first(root: Path) -> None:
    prepare(root)
    shutil.rmtree(root)
    with pytest.raises(TargetError):
        target_dir.root_of(KEY)


# uv


def script(path: Path, code: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without uv."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for tool in ("rsync", "tmux", "sh"):
        (folder / tool).symlink_to(shutil.which(tool) or "/bin/true")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_server_without_uv_says_none(bare: Path) -> None:
    assert target_dir.find_uv() is None


@pytest.mark.parametrize("name", [".local/bin/uv", ".cargo/bin/uv", f"{CACHE}/bin/uv"])
def test_uv_is_found_off_the_path(bare: Path, isolated: Path, name: str) -> None:
    uv = script(isolated / name, 0)
    assert target_dir.find_uv() == uv


def test_uv_on_the_path_comes_first(bare: Path, isolated: Path) -> None:
    script(isolated / ".local/bin/uv", 0)
    first = script(bare / "uv", 0)
    assert target_dir.find_uv() == first


def test_a_uv_that_does_not_run_does_not_count(bare: Path, isolated: Path) -> None:
    """One for another machine, or a shim (pyenv, asdf) with nothing behind it."""
    script(isolated / ".local/bin/uv", 126)
    (isolated / ".cargo/bin").mkdir(parents=True)
    (isolated / ".cargo/bin/uv").write_bytes(b"\x7fELF nonsense")
    (isolated / ".cargo/bin/uv").chmod(0o755)
    assert target_dir.find_uv() is None
    good = script(isolated / CACHE / "bin/uv", 0)
    assert target_dir.find_uv() == good


def test_a_broken_uv_on_the_path_does_not_hide_a_good_one(bare: Path, isolated: Path) -> None:
    script(bare / "uv", 127)
    good = script(isolated / CACHE / "bin/uv", 0)
    assert target_dir.find_uv() == good


def test_the_machine_is_described() -> None:
    found = target_dir.machine()
    assert found.system == os.uname().sysname and found.machine == os.uname().machine
    assert found.libc in ("gnu", "musl", "")


# Old agents


def test_agents_nobody_uses_are_forgotten(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, old, recent = (tmp_path / f"agent-{name}.zip" for name in ("own", "old", "recent"))
    for path in (own, old, recent):
        path.write_text("")
    for path in (own, old):
        os.utime(path, (1, 1))
    monkeypatch.setattr(sys, "argv", [str(own)])
    prepare(root)
    assert own.exists() and recent.exists() and not old.exists()
    assert own.stat().st_mtime > 1_000_000
