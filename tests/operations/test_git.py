"""What git says of a project: where it stands, and a patch of what it has beyond the commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.job.spec import Git
from remote.operations import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "t")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "t@example.org")
    root = tmp_path / "proj ect"
    root.mkdir()
    run(root, "init", "-q", "-b", "main/日本")
    return root


def run(root: Path, *words: str) -> str:
    argv = ["git", "-C", str(root), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> str:
    (root / "a.py").write_text("1")
    run(root, "add", ".")
    run(root, "commit", "-q", "-m", "x")
    return run(root, "rev-parse", "HEAD")


def test_a_clean_commit(repository: Path) -> None:
    head = commit(repository)
    assert git.git_state(repository) == Git(head, "main/日本", dirty=False)


def test_a_repository_that_git_can_not_read_is_told_once(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(repository)
    (repository / ".git/index").write_bytes(b"damaged")
    for _ in range(2):
        assert git.git_state(repository) == Git()
    words = capsys.readouterr().err
    assert words.count("records have no commit") == 1
    assert git.ignored(repository, ["a.py"]) == ["a.py"]


@pytest.mark.parametrize("name", ["a.py", "new file.py", "日本.py"])
def test_any_difference_is_dirty(repository: Path, name: str) -> None:
    commit(repository)
    (repository / name).write_text("22")
    assert git.git_state(repository).dirty is True


def test_a_staged_difference_is_dirty(repository: Path) -> None:
    commit(repository)
    (repository / "a.py").unlink()
    run(repository, "add", "-A")
    assert git.git_state(repository).dirty is True


def test_what_git_ignores_is_not_dirty(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    commit(repository)
    (repository / "x.log").write_text("")
    assert git.git_state(repository).dirty is False


def test_a_detached_head(repository: Path) -> None:
    head = commit(repository)
    run(repository, "checkout", "-q", "--detach")
    assert git.git_state(repository) == Git(head, "(detached)", dirty=False)


def test_before_the_first_commit_there_is_nothing_to_say(repository: Path) -> None:
    assert git.git_state(repository) == Git()


def test_without_a_repository_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert git.git_state(tmp_path) == Git()


def test_without_git_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.git_state(tmp_path) == Git()


@pytest.mark.parametrize("text", ["", "nonsense", "# \0#\0# branch.oid", "# branch.oid (initial)"])
def test_odd_words_say_nothing(text: str) -> None:
    assert git.parse_status(text) == Git()


#: Settings that make something else of a `git diff`, and attributes that a tool sets up.
SETTINGS = {
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.external": "false",
    "diff.relative": "true",
    "diff.context": "0",
    "diff.submodule": "log",
    "diff.ignoreSubmodules": "all",
    "diff.renames": "copies",
    "color.ui": "always",
    "core.quotePath": "true",
    "status.showUntrackedFiles": "no",
    "status.renames": "copies",
    "diff.shout.textconv": "tr a-z A-Z <",
    "diff.driven.command": "false",
}
ATTRIBUTES = "*.ipynb diff=shout\n*.csv diff=driven\n*.md -diff\n"
BINARY = bytes(range(256)) * 8


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def applied(repository: Path, patch: str, place: Path) -> dict[str, bytes]:
    """What a fresh clone holds after `git apply`."""
    run(repository, *CLONE, str(repository), str(place))
    data = patch.encode("utf-8", "surrogateescape")
    argv = ["git", "-C", str(place), "apply", "-"]
    done = subprocess.run(argv, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return content(place)


CLONE = ("-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules")


@pytest.fixture
def changed(repository: Path) -> Path:
    """A repository with changes of all kinds, under settings that get in a diff's way."""
    write(
        repository,
        {
            ".gitattributes": ATTRIBUTES.encode(),
            "日本.py": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n",
            "n.ipynb": b'{"cells": []}\n',
            "t.csv": b"1,2\n",
            "r.md": b"a\n",
            "b.bin": BINARY,
            "gone.py": b"x\n",
            "folder/file.py": b"x\n",
            "latin.txt": b"caf\xe9\n",
        },
    )
    commit(repository)
    for name, value in SETTINGS.items():
        run(repository, "config", name, value)
    write(
        repository,
        {
            "日本.py": b"1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
            "n.ipynb": b'{"cells": [1]}\n',
            "t.csv": b"1,3\n",
            "r.md": b"b\n",
            "b.bin": BINARY[::-1],
            "latin.txt": b"caf\xe9 cr\xe8me\n",
            "new dir/新しい.py": b"n\n",
            "new.bin": BINARY,
            "no newline.txt": b"x",
        },
    )
    (repository / "gone.py").unlink()
    (repository / "folder/file.py").unlink()
    (repository / "folder").rmdir()
    write(repository, {"folder": b"now a file\n", 'q"uo\tte [*]': b"new\n"})
    return repository


def test_the_patch_can_be_applied_whatever_is_configured(changed: Path, tmp_path: Path) -> None:
    before = run(changed, "status", "--porcelain", "-uall")
    patch = git.uncommitted(changed)
    assert applied(changed, patch, tmp_path / "clone") == content(changed)
    assert run(changed, "status", "--porcelain", "-uall") == before
    assert git.git_state(changed).dirty is True


def test_new_files_alone_are_dirty_and_recorded(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    run(repository, "config", "status.showUntrackedFiles", "no")
    write(repository, {"new.py": b"1\n"})
    assert git.git_state(repository).dirty is True
    assert "new.py" in applied(repository, git.uncommitted(repository), tmp_path / "clone")


def test_a_hooks_variables_name_another_repository(
    changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "-q")
    head = commit(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert git.git_state(changed).commit not in ("", head)
    patch = git.uncommitted(changed)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF"):
        monkeypatch.delenv(name)
    assert applied(changed, patch, tmp_path / "clone") == content(changed)


def test_changes_in_a_submodule_are_recorded(repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    run(library, "init", "-q")
    commit(library)
    run(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        str(library),
        "lib",
    )
    commit(repository)
    run(repository, "config", "diff.ignoreSubmodules", "all")
    sub = repository / "lib"
    write(sub, {"a.py": b"2\n"})
    run(sub, "commit", "-q", "-am", "committed here alone")
    write(sub, {"a.py": b"3\n", "new/b.bin": BINARY})
    assert git.git_state(repository).dirty is True
    patch = git.uncommitted(repository)
    assert "# submodule lib/ is at " in patch
    assert applied(repository, patch, tmp_path / "clone") == content(repository)


def test_with_autocrlf_the_patch_is_what_would_be_committed(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository)
    run(repository, "config", "core.autocrlf", "true")
    write(repository, {"a.py": b"1\r\n2\r\n", "new.py": b"x\r\n"})
    clone = applied(repository, git.uncommitted(repository), tmp_path / "clone")
    assert (clone["a.py"], clone["new.py"]) == (b"1\n2\n", b"x\n")


def test_secrets_results_and_our_own_folder_are_no_code(repository: Path) -> None:
    write(repository, {".env": b"KEY=old\n", "data/results/.gitkeep": b""})
    commit(repository)
    write(
        repository,
        {
            ".remote/jobs/x/log": b"l\n",
            "data/results/r.txt": b"r\n",
            "mlflow.db": b"m\n",
            "out/ckpt.pt": b"c\n",
        },
    )
    assert git.git_state(repository, ["out"]).dirty is False
    write(repository, {".env": b"KEY=hidden\n", "id_rsa": b"hidden\n", "a.py": b"2\n"})
    patch = git.uncommitted(repository, ["out"])
    assert "hidden" not in patch and "# not recorded, a secret: .env\n" in patch
    named = {line.split()[2] for line in patch.splitlines() if line.startswith("diff --git ")}
    assert named == {"a/a.py"}


def test_what_is_too_long_is_named(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "LONGEST", 3000)
    write(repository, {"deleted.txt": b"x\n" * 3000})
    commit(repository)
    (repository / "deleted.txt").unlink()
    write(repository, {"huge.csv": b"1\n" * 3000, "a.py": b"2\n", "z.py": b"3\n"})
    patch = git.uncommitted(repository)
    assert "# not recorded, too long: huge.csv\n" in patch
    assert "# not recorded, too long: diff --git a/deleted.txt b/deleted.txt\n" in patch
    clone = applied(repository, patch, tmp_path / "clone")
    assert (clone["a.py"], clone["z.py"]) == (b"2\n", b"3\n")


def test_a_project_below_the_top_of_its_repository(repository: Path, tmp_path: Path) -> None:
    write(repository, {"proj/a.py": b"1\n", "other/b.py": b"1\n"})
    commit(repository)
    write(repository, {"other/b.py": b"2\n"})
    assert git.git_state(repository / "proj").dirty is False
    write(repository, {"proj/a.py": b"2\n", "proj/new.py": b"n\n", "proj/logs/x": b"l\n"})
    clone = applied(repository, git.uncommitted(repository / "proj"), tmp_path / "clone")
    assert clone["proj/a.py"] == b"2\n" and clone["proj/new.py"] == b"n\n"
    assert clone["other/b.py"] == b"1\n" and "proj/logs/x" not in clone
