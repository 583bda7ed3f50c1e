"""What a push of some changes looks at: the real rsync between folders of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.sync import push, push_changes
from remote.operations.transfers.changes import Changes
from remote.operations.transfers.sent_paths import SentPaths
from remote.session import TargetSession
from remote.target import Target


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.py", "src/b.py", "src/one/c.py", "src/two/d.py", "src/two/deep/e.py"):
        write(tmp_path / "project" / name)
    write(tmp_path / "project/line\nbreak/f.py")
    return tmp_path / "project"


def changes(*paths: str, after: str = "", checksum: bool = False) -> Changes:
    return Changes(frozenset(paths), after, checksum)


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (["a.py"], {"src"}),
        (["src/b.py"], {"src/one", "src/two"}),
        (["src/two/d.py"], {"src/one", "src/two/deep"}),
        # A folder that was made, renamed or changed as such is looked at as a whole.
        (["src/two"], {"src/one"}),
        (["src/gone", "src/new"], {"src/one", "src/two"}),
        (["gone/deep/x.py"], {"src"}),
        (["src/one/c.py", "src/two/deep/e.py"], set()),
    ],
)
def test_folders_beside_those_in_which_something_changed_are_left_out(
    root: Path, paths: list[str], left: set[str]
) -> None:
    """But for those with a line break in their name: a rule of rsync's would fit others, too."""
    assert set(changes(*paths).untouched(root)) == left


def test_a_push_of_changes_looks_nowhere_else_and_comes_after_the_last_push_alone(
    root: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"

    def session() -> TargetSession:
        return TargetSession.of(Project(root, {}), Target.parse(str(there)))

    first = push(session())
    for name in ("src/one/c.py", "src/two/deep/e.py"):
        (root / name).write_text("changed")
    (root / "src/two/d.py").unlink()
    pushed = push_changes(session(), changes("src/one/c.py", after=first.id))
    assert pushed and (pushed.files.sent, pushed.files.deleted) == (["src/one/c.py"], [])
    assert (there / pushed.backup / "src/one/c.py").exists()
    # The tree there is that of the last push no more.
    assert push_changes(session(), changes("src/two", after=first.id)) is None
    rest = push_changes(session(), changes("src/two", after=pushed.id))
    assert rest and rest.files.sent == ["src/two/deep/e.py"]
    assert rest.files.deleted == ["src/two/d.py"]


def test_contents_are_compared_where_size_and_second_may_be_those_that_were_sent(
    root: Path, tmp_path: Path
) -> None:
    session = TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "there")))
    write(root / "src/b.py", "1")
    first = push(session)
    write(root / "src/b.py", "2")
    second = push_changes(session, changes("src/b.py", after=first.id))
    assert second and second.files.sent == []
    third = push_changes(session, changes("src/b.py", after=second.id, checksum=True))
    assert third and third.files.sent == ["src/b.py"]


def test_what_no_push_sends_is_told_by_rsync_itself(root: Path) -> None:
    (root / ".rsyncignore").write_text("build/\n*.log\n!src/.env.mine\n")
    paths = SentPaths(root)
    sent = {"src/new.py", "src/gone/x.py", "src/.env.mine", "data/processed/p.csv", ".rsyncignore"}
    left = {"build/x", "src/build/deep/y", ".git/index", ".remote/push.lock", "mlruns/1/m"}
    assert paths.of(sent | left) == sent
    # One in a folder that was asked about is pushed first, and asked about once that did nothing.
    assert paths.of({"src/a.log", ".env"}) == {"src/a.log", ".env"}
    paths.ask({"src/a.log", ".env"})
    assert paths.of({"src/a.log", ".env", "src/b.py", "."}) == {"src/b.py", "."}
