"""Pushes to several targets and pulls from them; two are folders here, and one is a host that is off."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project
from remote.mcp import sync_tools
from remote.operations import pool, pool_transfers
from remote.session import TargetSession
from remote.tasks import sync
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def here(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The project's own store; the project has three targets, `a`, `b` and `off`."""
    made = Store(tmp_path / "project", empty)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = tmp_path / "config"
    config.write_text(f"Host off\n  HostName 127.0.0.1\n  Port {port}\n")
    targets = f'a = "{tmp_path}/a"\noff = "off:x"\nb = "{tmp_path}/b"\n'
    (made.root / "pyproject.toml").write_text(f"[tool.remote.targets]\n{targets}")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("REMOTE_SSH_CONFIG", str(config))
    return made


@pytest.fixture
def project(here: Store, tmp_path: Path) -> Project:
    return Project(here.root, {"REMOTE_SSH_CONFIG": str(tmp_path / "config")})


def far(project: Project, name: str, empty: Path) -> Store:
    """A store on one of the targets, which is ready."""
    server = TargetSession.of(project, project.target(name))
    there = Store(Path(server.target.path), empty)
    # Stores whose experiments are of one time are one store, under two paths.
    there.sql("UPDATE experiments SET creation_time = ?", ord(name))
    server.prepare(take_over=True)
    (there.root / "data/results").mkdir(parents=True, exist_ok=True)
    return there


def test_a_push_to_all_leaves_the_usual_target_and_tells_who_failed(
    here: Store, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.root / "train.py").write_text("print(1)")
    with pytest.raises(Exit, match="All but off was pushed.") as exit:
        sync.sync_push(Context(), target="all")
    assert exit.value.code == 3
    assert all((tmp_path / name / "train.py").is_file() for name in "ab")
    assert not (project.state / "last-target").exists()
    captured = capsys.readouterr()
    assert captured.out.count("pushed to") == 2
    assert "off: off answers, but no SSH server listens." in captured.err


def test_a_pull_from_all_merges_what_came(
    here: Store,
    project: Project,
    empty: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in "ab":
        there = far(project, name, empty)
        there.run(f"f{name}", artifact=f"note of {name}")
        (there.root / "data/results" / f"{name}.txt").write_text(name)
        (there.root / "data/results/same.txt").write_text(name * 5)
    (here.root / "data/results").mkdir(parents=True)
    (here.root / "data/results/same.txt").write_text("mine")
    with pytest.raises(Exit, match="All but off was pulled.") as exit:
        sync.sync_pull(Context(), target="all")
    assert exit.value.code == 3
    assert here.runs() == {"fa", "fb"}
    assert here.notes() == {"fa": "note of a", "fb": "note of b"}
    assert {path.name for path in (here.root / "data/results").iterdir()} == {
        "a.txt",
        "b.txt",
        "same.txt",
    }
    # Whoever came first, what was here is kept, and so is what the other one replaced.
    kept = {path.read_text() for path in project.state.glob("backup/pull-*/data/results/same.txt")}
    assert "mine" in kept
    assert "off: off answers" in capsys.readouterr().err
    sync.sync_push(Context(), target="a")
    assert not pool_transfers.came_from(pool.sessions(project, "all"), [])


def test_a_server_whose_records_cannot_be_read_keeps_nobody_elses_away(
    here: Store, project: Project, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far(project, "a", empty).run("fa")
    far(project, "b", empty).file.write_bytes(b"no database at all" * 100)
    with pytest.raises(Exit, match="All but off, records of b was pulled."):
        sync.sync_pull(Context(), target="all")
    assert here.runs() == {"fa"}
    assert "b: " in capsys.readouterr().err


def test_results_that_came_without_records_are_not_told_as_nothing(
    here: Store, project: Project, empty: Path
) -> None:
    text = (here.root / "pyproject.toml").read_text()
    (here.root / "pyproject.toml").write_text(f'{text}[tool.remote.groups]\nlab = ["a", "b"]\n')
    for name in "ab":
        there = far(project, name, empty)
        there.file.write_bytes(b"no database at all" * 100)
        (there.root / "data/results" / f"{name}.txt").write_text(name)
    with pytest.raises(Exit, match="All but records of [ab], records of [ab] was") as exit:
        sync.sync_pull(Context(), target="lab")
    assert exit.value.code == 3
    assert {path.name for path in (here.root / "data/results").iterdir()} == {"a.txt", "b.txt"}
    answer = sync_tools.pull(target="lab")
    assert "All but records of" in answer["error"]["message"]


def test_a_run_that_is_on_two_servers_stays_the_first_ones_and_is_told(
    here: Store, project: Project, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [far(project, name, empty) for name in "ab"]
    stores[0].run("f1")
    sync.sync_pull(Context(), target="a")
    stores[1].run("f1", name="other")
    stores[1].run("f2")
    capsys.readouterr()
    with pytest.raises(Exit):
        sync.sync_pull(Context(), target="all")
    said = capsys.readouterr().err
    assert "b: 1 record came from a before, and is not changed:" in said
    assert "refused" not in said
    assert here.runs() == {"f1", "f2"}
    assert here.sql("SELECT name FROM runs WHERE run_uuid = 'f1'") == [("sunny",)]


def test_a_folder_that_two_servers_share_is_one_store(
    here: Store, project: Project, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far(project, "a", empty).run("f1", artifact="note")
    shared = Path(project.target("a").path)
    shutil.copytree(shared, shared.with_name("b"))
    TargetSession.of(project, project.target("b")).prepare()
    with pytest.raises(Exit):
        sync.sync_pull(Context(), target="all")
    assert (here.runs(), here.notes()) == ({"f1"}, {"f1": "note"})
    said = capsys.readouterr().err
    assert "refused" not in said and "kept yours" not in said


def test_where_nothing_can_be_reached_it_is_an_error(
    here: Store, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (here.root / "pyproject.toml").read_text()
    groups = '[tool.remote.groups]\nnone = ["off"]\n'
    (here.root / "pyproject.toml").write_text(text + groups)
    with pytest.raises(Exit, match="Nothing was pulled") as exit:
        sync.sync_pull(Context(), target="none")
    assert exit.value.code == 2
