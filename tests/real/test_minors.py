"""A store of each minor of MLflow arrives as MLflow's own `mlflow db upgrade` would leave it.

The edges and the last four are tried always; all of them with TEST_MINORS=all in the environment.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from remote.tracking import migration
from tests.real import venvs
from tests.real.compared import Records, differences
from tests.real.conftest import OURS, Make, with_environment
from tests.real.programs.tell import told
from tests.real.programs.traces_told import traces_told
from tests.real.world import Laptop, Server, rows

pytestmark = pytest.mark.timeout(600)

EDGES = ("2.9", "3.15", "3.16", "3.17", "3.18")
MINORS = venvs.MINORS if os.environ.get("TEST_MINORS") == "all" else EDGES


def environment_of(minor: str) -> Path:
    """The project's own is of a minor, too."""
    if venvs.OURS.startswith(f"{minor}."):
        return OURS
    return with_environment(
        f"mlflow-{venvs.NEW}" if venvs.NEW.startswith(f"{minor}.") else f"minor-{minor}"
    )


def upgraded(server: Server, folder: Path) -> Path:
    """A copy of its store, after `mlflow db upgrade`."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    copy = folder / "upgraded.db"
    shutil.copy(server.store, copy)
    engine = create_sqlalchemy_engine(f"sqlite:///{copy}")
    _upgrade_db(engine)
    engine.dispose()
    return copy


def asked(store: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}", registry_uri=f"sqlite:///{store}")
    return {**told(client), "traces": traces_told(client, "of a minor")}


@pytest.mark.parametrize("minor", MINORS)
def test_it_arrives_as_its_own_migration_leaves_it(
    minor: str, laptop: Make, folder: Path, tmp_path: Path
) -> None:
    server = Server.written_by(folder / f"minor {minor}", environment_of(minor), "minor.py")
    here = laptop(f"of minor {minor}")
    summary = here.pull(server)
    assert summary.left_out == summary.refused == summary.conflicts == ()
    newer = minor == "3.18"
    copy = server.store if newer else upgraded(server, tmp_path)
    theirs, ours = Records(copy, server.root), Records(here.store, here.root)
    assert differences(theirs, ours) == []
    if not newer:
        with server.up():
            wanted = asked(copy)
        assert asked(here.store) == wanted
    is_rich(here, tuple(map(int, minor.split("."))))
    before = here.store.read_bytes()
    assert here.pull(server).new_traces == 0
    assert here.store.read_bytes() == before


def is_rich(here: Laptop, minor: tuple[int, ...]) -> None:
    """What was compared isn't nothing."""
    traces = asked(here.store)["traces"]
    if minor >= (2, 14):
        assert len(traces["all"]) == len(traces["by name"]) == 3
    if minor >= (3, 1):
        assert len(traces["by session"]) == 1 and traces["all"][0]["tokens"]
    if minor >= (3, 2):
        assert {"('right', 0.7)", "('expected', {'answer': 'why'})"} <= {
            name for each in traces["all"] for name in each["assessments"]
        }
        assert all(traces["sums"][:3]) and traces["sums"][4]


def test_what_an_earlier_merge_has_lost_comes_with_the_next(
    laptop: Make, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toolkit merged column by column once, and its base says nothing of a schema."""
    server = Server.written_by(folder / "once lost", environment_of("3.16"), "minor.py")
    here = laptop("that lost")
    with monkeypatch.context() as patch:
        patch.setattr(migration, "fit", lambda *_, **__: "")
        assert here.pull(server).left_out != ()
    assert traces_told(here.client, "of a minor")["by name"] == []
    for base in here.root.glob(".remote/targets/*.base.db"):
        rows(base, "DELETE FROM meta WHERE key = 'revision'")
    # Whose the empty numbers of assessments are can't be told: they are named, to be settled.
    assert {each.table for each in here.pull(server).conflicts} == {"assessments"}
    copy = upgraded(server, tmp_path)
    with server.up():
        wanted = asked(copy)["traces"]
    ours = traces_told(here.client, "of a minor")
    assert {**ours, "sums": ours["sums"][:-1]} == {**wanted, "sums": wanted["sums"][:-1]}
