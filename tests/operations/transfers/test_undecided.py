"""Files that git ignores and that are called like secrets: a push to a folder of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.sync import push
from remote.session import TargetSession
from remote.target import Target

LIKELY = [
    "my_token.txt",
    "conf/API-Keys.yaml",
    "secrets/prod.yml",
    "パスワード.txt",
    "a\nd/key.json",
]
OTHERS = ["tokenizer.json", "a\nd/z.txt", "data/raw/tokens.txt", "big_token.bin", "known_token.txt"]


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    root = tmp_path / "project"
    for name in (*LIKELY, *OTHERS, "a.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x" if name != "big_token.bin" else "x" * 70000)
    (root / ".gitignore").write_text("*\n!*.py\n!known_token.txt\n!*/\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "there")))


def again(server: TargetSession) -> TargetSession:
    """The same target, as the next command sees it."""
    return TargetSession.of(server.project, server.target)


def sent(server: TargetSession) -> set[str]:
    there = Path(server.target.path)
    names = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith((".remote/", ".git"))}


def test_they_are_named_and_stay_until_the_ignore_file_decides(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    push(server)
    words = capsys.readouterr().err
    assert sent(server) == {"a.py", *OTHERS}
    assert all(name.replace("\n", "\\n") in words for name in LIKELY)
    assert "!NAME" in words and "known" not in words
    (server.project.root / ".rsyncignore").write_text("/my_token.txt\n!secrets\n!パスワード.txt\n")
    push(again(server))
    assert sent(server) == {"a.py", ".rsyncignore", *OTHERS, "secrets/prod.yml", "パスワード.txt"}
    words = capsys.readouterr().err
    assert "my_token" not in words and "API-Keys" in words and "prod" not in words


def test_a_dry_run_names_them_and_so_does_the_push_after_it(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    for dry_run in (True, False):
        push(again(server), dry_run=dry_run)
        assert "my_token.txt" in capsys.readouterr().err
    assert "my_token.txt" not in sent(server)


def test_where_git_tells_nothing_of_its_repository_they_stay(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    # As in a container to which a worktree was mounted alone; so it is where another user owns it.
    root = server.project.root
    subprocess.run(["rm", "-r", str(root / ".git")], check=True)
    (root / ".git").write_text("gitdir: /no/such/repository\n")
    push(server)
    words = capsys.readouterr().err
    assert not sent(server) & {*LIKELY} and "a.py" in sent(server)
    assert "my_token.txt: git may ignore it, and doesn't tell (not a git repository" in words
    (root / ".rsyncignore").write_text("".join(f"!{Path(name).name}\n" for name in OTHERS))
    push(again(server))
    assert sent(server) >= {*OTHERS}


def test_without_git_nothing_is_held_back(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["rm", "-r", str(server.project.root / ".git")], check=True)
    push(server)
    assert sent(server) == {"a.py", *OTHERS, *LIKELY} and "token" not in capsys.readouterr().err


def test_one_that_came_after_the_first_push_stays_too(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    push(server)
    capsys.readouterr()
    (server.project.root / "new_token.txt").write_text("x")
    push(again(server))
    assert sent(server) == {"a.py", *OTHERS}
    assert "not pushed: new_token.txt" in capsys.readouterr().err
