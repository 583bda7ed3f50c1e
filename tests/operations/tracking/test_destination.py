"""Where records go: the project's own store, or the one that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConfigError
from remote.operations.tracking.destination import Destination, destination


def of(root: Path, address: str = "") -> Destination:
    return destination(Project(root, {"MLFLOW_TRACKING_URI": address} if address else {}))


def test_without_an_address_it_is_the_projects_own_store(tmp_path: Path) -> None:
    to = of(tmp_path)
    assert (to.location, to.server) == (tmp_path / "mlflow.db", "")
    assert to.artifacts == tmp_path / "mlruns"


def test_records_for_a_server_go_into_the_own_store_first(tmp_path: Path) -> None:
    to = of(tmp_path, "https://me:secret@host/x")
    assert (to.location, to.server) == (tmp_path / "mlflow.db", "https://me:secret@host/x")


def test_a_relative_file_lies_in_the_project(tmp_path: Path) -> None:
    to = of(tmp_path, "sqlite:///records/all.db")
    assert (to.location, to.server) == (tmp_path / "records/all.db", "")
    assert to.artifacts == tmp_path / "mlruns"


def test_each_destination_has_a_base_of_its_own(tmp_path: Path) -> None:
    own = of(tmp_path).base("0123456789abcdef")
    assert own == tmp_path / ".remote/targets/0123456789abcdef.base.db"
    assert of(tmp_path, "http://host").base("0123456789abcdef") == own
    assert of(tmp_path, f"sqlite:///{tmp_path}/mlflow.db").base("0123456789abcdef") == own
    others = [of(tmp_path, f"sqlite:///{name}.db").base("0123456789abcdef") for name in "ab"]
    assert len({own, *others}) == 3
    for base in others:
        assert base.parent == own.parent and base.name.startswith("0123456789abcdef.")
        assert base.name.endswith(".base.db")


def test_a_database_is_refused_with_the_way_through_a_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="aren't merged into a database") as caught:
        of(tmp_path, "postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value) and "mlflow server" in caught.value.hint


@pytest.mark.parametrize("address", ["mlruns", "file:///abs/mlruns", "databricks://profile"])
def test_what_is_neither_a_file_nor_a_server_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=f"MLFLOW_TRACKING_URI={address}") as caught:
        of(tmp_path, address)
    assert caught.value.hint == "It takes sqlite:///FILE and http(s)://…; unset, it is mlflow.db."
