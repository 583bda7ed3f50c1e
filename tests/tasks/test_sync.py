"""`inv sync-push` and `inv sync-pull`: what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConnectError
from remote.operations import sync
from remote.operations.sync import Pulled
from remote.operations.tracking.merge_records import Records
from remote.session import TargetSession
from remote.target import Target
from remote.tasks import merge_report
from remote.tasks import sync as tasks
from remote.tracking.merge import MergeSummary
from remote.transport.rsync_problems import UNREADABLE, Problem
from remote.transport.rsync_tally import Tally
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


DOWN = ConnectError("The MLflow server http://host can't be reached.", "Pull again.")


def pulled(*, new: int = 0, problem: str = "", unreadable: str = "") -> Pulled:
    records = Records(summary=MergeSummary(new_runs=new))
    records.unreadable += [unreadable] if unreadable else []
    problems = [Problem(problem, "Permission denied", UNREADABLE)] if problem else []
    return Pulled(Tally(), records, "", 0.0, {}, problems)


def test_a_server_of_mlflows_that_is_down_hides_nothing_that_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(project: Project, *, dry_run: bool) -> None:
        raise DOWN

    server = TargetSession.of(Project(tmp_path, {}), Target.parse(str(tmp_path / "target")))
    monkeypatch.setattr(merge_report, "export", refuse)
    came = pulled(problem="data/results/secret", unreadable="other.db is damaged.\nMend it.")
    monkeypatch.setattr(sync, "pull", lambda *words, **named: came)
    with pytest.raises(ConnectError):
        tasks.pull_and_tell(server)
    said = capsys.readouterr().err
    assert "not pulled: data/results/secret" in said and "other.db is damaged" in said


def test_what_a_repeated_pull_could_not_export_is_exported_though_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = TargetSession.of(Project(tmp_path, {}), Target.parse(str(tmp_path / "target")))
    pulls = iter([pulled(new=1), pulled(new=1), pulled(), pulled(), pulled()])
    exports: list[bool] = []

    def export(project: Project, *, dry_run: bool) -> None:
        exports.append(len(exports) in (0, 3))
        if not exports[-1]:
            raise DOWN

    def pull(*words: object, **named: object) -> Pulled:
        for came in pulls:
            return came
        raise KeyboardInterrupt

    monkeypatch.setattr(sync, "pull", pull)
    monkeypatch.setattr(merge_report, "export", export)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        tasks.pull_again_and_again(server, 1)
    # Twice more, until it has it, and then only where something comes.
    assert exports == [True, False, False, True]
    assert capsys.readouterr().err.count("answers again") == 1
