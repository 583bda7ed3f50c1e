"""An address is read as MLflow reads it, by whatever command it is given to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.check_store import _path as checked_path
from remote.operations.tracking.destination import destination
from remote.tracking.store_address import (
    DATABASE,
    FOLDER,
    OTHER,
    SERVER,
    SQLITE,
    StoreAddress,
)

SQLITE_ADDRESSES = [
    "sqlite:///mlflow.db",
    "sqlite:////abs/mlflow.db",
    "sqlite:///mlflow.db?timeout=60",
    "sqlite:///my%20store.db",
    "sqlite:///%3Fodd.db",
    "sqlite:///half%zz.db",
    "sqlite:///a b.db",
    "sqlite:///a#b.db",
    "sqlite:///a?b=c?d",
    "sqlite+pysqlite:///mlflow.db",
    "sqlite:///~/mlflow.db",
    "sqlite:///../other/mlflow.db",
]


@pytest.mark.parametrize("address", SQLITE_ADDRESSES)
def test_a_sqlite_address_names_the_file_that_sqlalchemy_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    url = make_url(address)
    (opened,), _ = url.get_dialect()().create_connect_args(url)
    parsed = StoreAddress.parse(address, folder=tmp_path)
    assert (parsed.kind, os.path.abspath(str(parsed.path))) == (SQLITE, opened)
    assert os.path.abspath(checked_path(address)) == opened
    to = destination(Project(tmp_path, {"MLFLOW_TRACKING_URI": address}))
    assert os.path.abspath(str(to.location)) == opened


@pytest.mark.parametrize("release", ["1.4.54", "2.0.44"])
def test_before_2_1_sqlalchemy_took_percent_signs_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: release)
    parsed = StoreAddress.parse("sqlite:///my%20store.db", folder=tmp_path)
    assert parsed.path == tmp_path / "my%20store.db"


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///?timeout=60",
        "sqlite:///file:x.db?mode=ro&uri=true",
        "sqlite://host/mlflow.db",
    ],
)
def test_a_sqlite_address_without_a_file_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(StoreError, match="doesn't name a file"):
        StoreAddress.parse(address, folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("https://me:secret@host/x", SERVER, None),
        ("http://127.0.0.1:5000", SERVER, None),
        ("postgresql://me:secret@host/db", DATABASE, None),
        ("mysql+pymysql://h/db", DATABASE, None),
        ("databricks://profile", OTHER, None),
        ("uc:me", OTHER, None),
        ("mlruns", FOLDER, "mlruns"),
        ("./postgresql", FOLDER, "postgresql"),
        ("/abs/mlruns", FOLDER, "/abs/mlruns"),
        ("file:///abs/my%20runs", FOLDER, "/abs/my runs"),
        ("file:mlruns", FOLDER, "mlruns"),
        ("file://localhost/abs", FOLDER, "/abs"),
    ],
)
def test_other_addresses_by_their_kind(
    tmp_path: Path, text: str, kind: str, path: str | None
) -> None:
    parsed = StoreAddress.parse(text, folder=tmp_path)
    assert (parsed.kind, parsed.path) == (kind, tmp_path / path if path else None)
    assert "secret" not in str(parsed)


def test_a_name_with_a_colon_that_is_there_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert StoreAddress.parse("a:b", folder=tmp_path).path == tmp_path / "a:b"


def test_a_file_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="another machine"):
        StoreAddress.parse("file://far/abs", folder=tmp_path)
