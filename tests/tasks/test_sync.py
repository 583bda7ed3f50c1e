"""`inv sync-push` and `inv sync-pull`: what they print."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from remote.config import Project
from remote.errors import ConnectError
from remote.operations import sync as operations
from remote.operations.sync import Pulled
from remote.operations.tracking.merge_records import Records
from remote.session import TargetSession
from remote.target import Target
from remote.tasks import merge_report, sync
from remote.tracking.merge import MergeSummary
from remote.transport.rsync_problems import UNREADABLE, Problem
from remote.transport.rsync_tally import Tally
from tests.conftest import ProjectFolder, make_project
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store

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


def test_a_server_of_mlflows_that_is_down_hides_nothing_that_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(project: Project, *, dry_run: bool) -> None:
        raise DOWN

    server = TargetSession.of(Project(tmp_path, {}), Target.parse(str(tmp_path / "target")))
    monkeypatch.setattr(merge_report, "export", refuse)
    records = Records(summary=MergeSummary(), unreadable=["other.db is damaged.\nMend it."])
    problems = [Problem("data/results/secret", "Permission denied", UNREADABLE)]
    came = Pulled(Tally(), records, "", 0.0, {}, problems)
    monkeypatch.setattr(operations, "pull", lambda *words, **named: came)
    with pytest.raises(ConnectError):
        sync.pull_and_tell(server)
    said = capsys.readouterr().err
    assert "not pulled: data/results/secret" in said and "other.db is damaged" in said


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


class Repeated:
    """A project and its target, each with a store, and what is done between two pulls of `--watch`."""

    def __init__(self, folder: Path, empty: Path) -> None:
        here, there = folder / "here", folder / "there"
        self.here = Store(here, empty)
        self.server = TargetSession.of(Project(here, {}), Target.parse(str(there)))
        self.there = Store(there, empty)
        self.there.sql("UPDATE experiments SET creation_time = 7")
        self.server.prepare(take_over=True)

    def pull(self, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
        """Pull, and after each of these steps once more."""
        todo = iter(steps)

        def sleep(seconds: float) -> None:
            step = next(todo, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(sync, "time", SimpleNamespace(sleep=sleep))
        with pytest.raises(KeyboardInterrupt):
            pull = partial(sync.pull_and_tell, is_result=True)
            sync.pull_again_and_again(self.server, 1, pull)


@pytest.fixture
def repeated(tmp_path: Path, empty: Path) -> Repeated:
    return Repeated(tmp_path, empty)


def nothing() -> None:
    pass


@pytest.mark.mlflow
def test_records_that_cannot_be_read_any_more_are_told_until_they_can(
    repeated: Repeated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, said = repeated.there.file, list[str]()
    whole = store.read_bytes()

    def note() -> None:
        said.append(capsys.readouterr().err)

    def damage() -> None:
        note()
        store.write_bytes(b"no database at all" * 100)

    def mend() -> None:
        note()
        store.write_bytes(whole)

    repeated.pull(monkeypatch, damage, note, mend, note)
    first, damaged, still, mended = said
    assert "mlflow.db" in damaged and "again" not in first + damaged + still
    assert still == "" and "works again" in mended


@pytest.mark.mlflow
def test_an_export_that_failed_is_tried_again_though_nothing_came(
    repeated: Repeated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exports, fails = list[bool](), [False, True, True]

    def export(project: Project, *, dry_run: bool) -> None:
        fail = bool(fails) and fails.pop(0)
        exports.append(not fail)
        if fail:
            raise ConnectError("The MLflow server can't be reached.", "Check it.")

    monkeypatch.setattr(merge_report, "export", export)
    repeated.pull(monkeypatch, lambda: repeated.there.run("f1"), nothing, nothing, nothing)
    assert repeated.here.runs() == {"f1"} and exports == [True, False, False, True]
    assert capsys.readouterr().err.count("works again") == 1


@pytest.mark.mlflow
def test_what_stays_there_is_told_once_though_nothing_came(
    repeated: Repeated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        file = repeated.there.root / "data/results/conftest.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    repeated.pull(monkeypatch, write, nothing, nothing)
    assert capsys.readouterr().err.count("conftest.py") == 1
