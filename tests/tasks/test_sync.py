"""`inv sync-push` and `inv sync-pull`: what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ProjectFolder, make_project

#: A name that turns the direction of writing, holds a C1 control and a line break.
EVIL = "a\u202etxt\u009b\nb.py"


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return make_project(tmp_path / "project", TARGET_DIR=str(tmp_path / "target"))


def test_a_dry_run_lists_what_would_go_and_come_one_line_each(
    project: ProjectFolder, tmp_path: Path
) -> None:
    project.write(f"src/{EVIL}", "x")
    shown = project.inv("sync-push", "--dry-run").out
    (line,) = [line for line in shown.splitlines() if "src/a" in line]
    assert line.startswith("send    src/a\\u202etxt\\x9b") and line.endswith("b.py")
    assert not (tmp_path / "target" / "src").exists()

    project.inv("sync-push")
    project.write(f"src/{EVIL}", "x")
    (project.root / f"src/{EVIL}").unlink()
    shown = project.inv("sync-push", "--dry-run").out
    assert "delete  src/a\\u202etxt\\x9b" in shown

    results = tmp_path / "target" / "data" / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / EVIL).write_text("y")
    shown = project.inv("sync-pull", "--dry-run").out
    assert "pull    data/results/a\\u202etxt\\x9b" in shown
    assert all(line.isprintable() for line in shown.splitlines())
