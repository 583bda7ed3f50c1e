"""Which folder is the project: never one that a server filled, nor another user's above."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.config import find_project
from remote.errors import ConfigError
from remote.operations.doctor import project_here
from tests.conftest import ROOT, make_project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that was pulled to."""
    root = tmp_path / "project"
    (root / ".remote").mkdir(parents=True)
    (root / "tasks.py").touch()
    (root / "pyproject.toml").write_text('[tool.remote]\noutputs = ["Out/", "models"]\n')
    return root


@pytest.mark.parametrize("mark", ["pyproject.toml", ".rsyncignore", "tasks.py"])
@pytest.mark.parametrize(
    "folder",
    ["data/results", "data/results/a/clone", "outputs/x", "Outputs/x", "DATA/Results/x", "mlruns/0",
     "out/x", "models", "logs"],
)  # fmt: skip
def test_what_lies_in_results_is_no_project(
    root: Path, folder: str, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / folder / "deep").mkdir(parents=True)
    assert find_project(root / folder / "deep").root == root.resolve()
    (root / folder / mark).touch()
    (root / folder / ".env").write_text("TARGET_DIR=evil@evil.example:/x")
    for start in (root / folder, root / folder / "deep"):
        with pytest.raises(ConfigError, match="no project of yours") as error:
            find_project(start)
        monkeypatch.chdir(start)
        with pytest.raises(ConfigError, match="no project of yours"):
            project_here()
        assert str(root) in error.value.hint


def test_a_project_of_ones_own_may_lie_anywhere_else(root: Path, tmp_path: Path) -> None:
    for folder in (root / "src/packages/a", root / "data/raw/a", root / "outputs-old/a"):
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").touch()
        assert find_project(folder).root == folder.resolve()
    # What lies above was never pulled to.
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "outputs/project"
    inner.mkdir(parents=True)
    (inner / "tasks.py").touch()
    assert find_project(inner).root == inner.resolve()


def test_another_users_tasks_above_are_not_taken_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = root / "x/y"
    below.mkdir(parents=True)
    assert find_project(below).root == root.resolve()
    if os.geteuid() == 0:
        os.chown(root / "tasks.py", 12345, 12345)
    else:
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match="another user's"):
        find_project(below)
    # Who goes there means it.
    assert find_project(root).root == root.resolve()
    (below / "tasks.py").touch()
    if os.geteuid() == 0:
        assert find_project(below).root == below.resolve()


def test_make_runs_no_tasks_of_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("open('ran', 'w')")
    project = make_project(tmp_path / "project")
    (project.root / "tasks.py").unlink()
    done = project.run_make("sync-push", f"INV={ROOT}/.venv/bin/inv")
    assert done.code and "tasks.py" in done.err
    assert not list(tmp_path.rglob("ran"))
