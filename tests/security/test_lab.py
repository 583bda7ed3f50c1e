"""What a server says was saved in JupyterLab: nothing comes that this machine runs unasked."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from remote.operations import saved_files
from tests.operations.test_saved_files import server

#: What no server brings, by the way in which it would be run.
RUN = (
    "tasks.py",
    "Tasks.py",
    "TASKS.PY",
    "ta\u017fks.py",
    "Makefile",
    "src/Makefile",
    "pyproject.toml",
    "remote/files.py",
    "Remote/files.py",
    "REMOTE/x.py",
    "remote /files.py",
    "scripts/install.sh",
    "scripts/new.py",
    "Scripts/new.py",
    "containers/lab.sh",
    "tests/conftest.py",
    "tests/helper.py",
    "src/conftest.py",
    "src/test_x.py",
    "src/sitecustomize.py",
    # Packages that would shadow what inv imports: the root comes first on its path.
    "dotenv/__init__.py",
    "fabric/__init__.py",
    "invoke/x.py",
    "yaml/__init__.py",
    "tasks/__init__.py",
    "src/__init__.py",
    "json.py",
    "src/x.pth",
    "src/evil.dist-info/entry_points.txt",
    "src/Evil.Egg-Info/entry_points.txt",
    "src/__pycache__/train.cpython-311.pyc",
    "src/json.so",
    "src/run.sh",
    # Hidden, and what looks otherwise than it is.
    ".envrc",
    "src/.env",
    ".git/hooks/pre-commit",
    ".g\u200cit/config",
    "\u200c.git/config",
    "src/.ipynb_checkpoints/x.ipynb",
    "src/x\n.py",
    "src/\u202eyp.x",
    "src/\0.py",
    "../outside.py",
    "src/../tasks.py",
    "src/./x.py",
    "./src/x.py",
    "/etc/x.ipynb",
    # Another spelling of what is here.
    "SRC/train.py",
    "src/Train.py",
    "src/Notebooks/x.ipynb",
    "DATA/results/x.ipynb",
    "data/results/x.ipynb",
)

COMES = (
    "src/train.py",
    "src/new.py",
    "src/deep/new/x.py",
    "src/deep/__init__.py",
    "config/trainer.yaml",
    "src/notebooks/x.ipynb",
    "top.ipynb",
    "new folder/x.ipynb",
    "src/\u65e5\u672c.py",
)

LEFT_OUT = ("src/secret notes/x.py", "src/a.pem", "config/id_rsa", "ignored.ipynb")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("src/train.py", "src/notebooks/a.ipynb", "config/a.yaml", "data/results/a"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    (root / "yaml").mkdir()
    (root / "yaml/a.yaml").write_text("a: 1")
    (root / ".rsyncignore").write_text("/src/secret notes\n/ignored.ipynb\n")
    return root


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_only_what_was_pushed_or_lies_in_a_known_folder_comes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(root)
    there = dict.fromkeys((*RUN, *COMES, *LEFT_OUT), b"planted")
    saved_files.bring_and_tell(server(root, there, dict.fromkeys(COMES, b"planted")))
    came = {name for name in names(root) if not name.startswith(".remote/")}
    assert came == {*before, *COMES}
    said = capsys.readouterr().err
    assert said.count("is not copied") == len(RUN) + len(LEFT_OUT)
    assert "dotenv/__init__.py is not copied: this machine runs it" in said


@pytest.mark.parametrize("name", [*RUN, *LEFT_OUT, "src/x.py\0"])
def test_what_is_sent_and_was_not_asked_for_is_refused(root: Path, name: str) -> None:
    before = names(root)
    with pytest.raises((saved_files.TargetError, ValueError)):
        list(saved_files.bring(server(root, {}, {name: b"planted"}), ["src/train.py"], "kept"))
    assert names(root) == before


def test_what_inv_has_imported_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "own_tasks").mkdir()
    (root / "own_tasks/gpus.py").write_text("")
    monkeypatch.syspath_prepend(root)
    importlib.import_module("own_tasks.gpus")
    try:
        assert not saved_files.may_come("own_tasks/gpus.py", root)
        assert saved_files.may_come("own_tasks/notes.md", root)
    finally:
        for name in ("own_tasks", "own_tasks.gpus"):
            sys.modules.pop(name)


def test_a_folder_that_becomes_a_link_between_the_look_and_the_transfer_is_not_followed(
    root: Path, tmp_path: Path
) -> None:
    session = server(root, {}, {"src/train.py": b"planted"})
    assert saved_files.may_come("src/train.py", root)
    (root / "src").rename(tmp_path / "elsewhere")
    (root / "src").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(saved_files.TargetError, match="can't be copied here any more"):
        list(saved_files.bring(session, ["src/train.py"], "kept"))
    assert (tmp_path / "elsewhere/train.py").read_text() == "mine"
