"""Artifacts that a pull leaves on their server, and that are brought later; the agent and rsync are
the real ones."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from remote.errors import ConfigError, JobError, StoreError
from remote.operations.fetch_artifacts import fetch_artifacts, run_here
from remote.operations.tracking import artifact_transfer
from remote.operations.tracking.artifact_limit import SETTING, most_bytes
from remote.operations.tracking.merge_records import Records
from remote.operations.tracking.pull_records import pull_records
from remote.session import TargetSession
from remote.tracking.check.examine import examine
from remote.tracking.left_artifacts import TAG
from remote.transport.rsync_dialect import Dialect
from tests.machine import heed_modes, rsync_that_heeds_modes
from tests.operations.tracking.conftest import Store

RUN = "f1" * 16
NET, ODD = "net/weights.pt", "net/odd [1]*\n日本.pt"


@pytest.fixture
def grown(far: Store) -> Store:
    """A target whose run has a note, two large files and a model with a third one."""
    far.run(RUN, artifact="note")
    (number,) = far.sql("SELECT experiment_id FROM runs")[0]
    model = far.root / f"mlruns/{number}/models/m-1/artifacts"
    far.sql(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
        " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)"
        " VALUES ('m-1', ?, 'net', ?, 1, 1, 2, 'active', ?)",
        number,
        str(model),
        RUN,
    )
    files = [artifacts(far) / NET, artifacts(far) / ODD, model / "MLmodel.bin"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode() * 300_000)
    (artifacts(far) / "link.pt").symlink_to(NET)
    return far


def artifacts(store: Store) -> Path:
    return (
        store.root / f"mlruns/{store.sql('SELECT experiment_id FROM runs')[0][0]}/{RUN}/artifacts"
    )


def pull(server: TargetSession, limit: str) -> Records:
    server.project = replace(server.project, settings={SETTING: limit})
    return pull_records(server)


def told(here: Store) -> list[str]:
    return [value for (value,) in here.sql("SELECT value FROM tags WHERE key = ?", TAG)]


@pytest.fixture(params=["a list", "filters"])
def rsyncs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An rsync that passes over what is missing in a list, and a Mac's."""
    if request.param == "filters":
        monkeypatch.setattr(artifact_transfer, "dialect", lambda: Dialect(frozenset()))


@pytest.mark.usefixtures("rsyncs")
def test_what_is_large_stays_until_it_is_asked_for(
    server: TargetSession, here: Store, grown: Store
) -> None:
    records = pull(server, "1M")
    assert here.notes() == {RUN: "note"} and (artifacts(here) / "link.pt").is_symlink()
    (left,) = records.on_server
    assert left.run == RUN and set(left.files) == {NET, ODD, "models/m-1/MLmodel.bin"}
    (text,) = told(here)
    assert NET in text and "3 files" in text and text.endswith(f" on {server.source}")
    assert examine(here.file) == [], "a model that is ready, and left, isn't missing"
    # Again it is told, and nothing comes.
    again = pull(server, "1M")
    assert (again.artifacts, again.on_server) == ([], records.on_server)
    # Of a run, what is asked for comes, is compared, and is told no more.
    assert run_here(server.project, RUN[:8]) == RUN
    with pytest.raises(JobError, match="left no 'nothing' to fetch"):
        fetch_artifacts(server, RUN, ["nothing"])
    fetched = fetch_artifacts(server, RUN, [NET])
    assert [Path(name).name for name in fetched.files] == ["weights.pt"] and fetched.on_server == 2
    assert (artifacts(here) / NET).read_bytes() == (artifacts(grown) / NET).read_bytes()
    assert NET not in told(here)[0] and "2 files" in told(here)[0]
    assert fetch_artifacts(server, RUN, []).on_server == 0 and told(here) == []
    assert (artifacts(here) / ODD).read_bytes() == (artifacts(grown) / ODD).read_bytes()
    with pytest.raises(StoreError, match="Nothing of run") as error:
        fetch_artifacts(server, RUN, [])
    assert error.value.hint == "This machine has all of it."
    assert pull(server, "none").on_server == []


@pytest.mark.usefixtures("rsyncs")
def test_a_later_pull_of_all_brings_what_none_has_left(
    server: TargetSession, here: Store, grown: Store
) -> None:
    assert pull(server, "none").artifacts == [] and here.notes() == {}
    assert "note.txt" in told(here)[0] or "5 files" in told(here)[0]
    assert len(pull(server, "all").artifacts) == 5
    assert told(here) == [] and here.notes() == {RUN: "note"}
    assert (artifacts(here) / NET).is_file()


def test_a_folder_that_cannot_be_looked_at_there_is_told_until_it_can(
    server: TargetSession,
    here: Store,
    grown: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bin = rsync_that_heeds_modes(monkeypatch, tmp_path)
    # It runs the agent here.
    monkeypatch.setattr(sys, "executable", str(heed_modes(sys.executable, bin)))
    closed = artifacts(grown) / "net"
    path = str(closed.relative_to(grown.root))
    # Its names can be read then, and nothing else.
    for mode in (0, 0o444):
        closed.chmod(mode)
        for _ in range(2):
            problems = pull(server, "1M").problems
            assert problems and all(problem.path.startswith(path) for problem in problems)
        with pytest.raises(JobError, match="no 'net' to fetch") as error:
            fetch_artifacts(server, RUN, ["net"])
        assert "/net" in error.value.hint and "Permission denied. Make it" in error.value.hint
    closed.chmod(0o755)
    assert pull(server, "1M").problems == [] and NET in told(here)[0]
    assert set(fetch_artifacts(server, RUN, ["net"]).files) == {
        f"{path}/{Path(name).name}" for name in (NET, ODD)
    }


def test_what_came_otherwise_than_it_is_there_is_told_and_stays_on_the_list(
    server: TargetSession, here: Store, grown: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(server, "1M")
    monkeypatch.setattr("remote.operations.fetch_artifacts.content_sum", lambda path: "0" * 64)
    fetched = fetch_artifacts(server, RUN, [NET])
    assert fetched.files == {} and NET in told(here)[0] and not (artifacts(here) / NET).exists()
    (problem,) = fetched.problems
    assert "it differs from the server's. Repeat the command" in problem.text


def test_what_is_gone_there_is_not_told_as_brought(
    server: TargetSession, here: Store, grown: Store
) -> None:
    pull(server, "none")
    before = told(here)
    for folder in (artifacts(grown), *grown.root.glob("mlruns/*/models/*/artifacts")):
        shutil.rmtree(folder)
    with pytest.raises(StoreError, match="has none of the artifacts of run") as error:
        fetch_artifacts(server, RUN, [])
    assert before[0] in error.value.hint and told(here) == before
    # Whoever has got them otherwise has all that there is.
    artifacts(here).mkdir(parents=True)
    (artifacts(here) / "net.pt").write_text("by hand")
    assert fetch_artifacts(server, RUN, []).on_server == 0 and told(here) == []


def test_a_link_is_verified_by_where_it_leads(
    server: TargetSession, here: Store, grown: Store
) -> None:
    (artifacts(grown) / "out.pt").symlink_to("/else/where")
    pull(server, "none")
    assert list(fetch_artifacts(server, RUN, ["link.pt"]).files) == [
        f"{artifacts(here).relative_to(here.root)}/link.pt"
    ]
    assert os.readlink(artifacts(here) / "link.pt") == NET
    # No link that leads out comes: the user's own is not that one, and stays.
    own = artifacts(here) / "out.pt"
    own.symlink_to("my own")
    fetched = fetch_artifacts(server, RUN, ["out.pt"])
    assert fetched.files == {} and "it differs from the server's" in fetched.problems[0].text
    assert os.readlink(own) == "my own" and fetched.on_server == 5


def test_a_setting_that_is_none_is_refused(server: TargetSession) -> None:
    for text, most in {
        "": None,
        "ALL": None,
        "small": 10 << 20,
        "none": -1,
        "50M": 50 << 20,
    }.items():
        assert most_bytes(replace(server.project, settings={SETTING: text})) == most
    with pytest.raises(ConfigError, match="PULL_ARTIFACTS is all, small, none or a size, not '7'"):
        most_bytes(replace(server.project, settings={SETTING: "7"}))
