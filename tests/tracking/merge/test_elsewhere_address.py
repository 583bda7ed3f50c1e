"""What an address means, and that its password is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking import merge
from remote.tracking.merge.elsewhere.address import scrubbed, shown, sqlite_file
from remote.tracking.merge.local_store import open_ours


@pytest.mark.parametrize(
    "address, expected",
    [
        ("postgresql://me:s3cret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("mysql+pymysql://me:a/b@c:d@host/db", "mysql+pymysql://me:***@host/db"),
        ("postgresql://me@host/db?password=s3cret&x=1", "postgresql://me@host/db?password=***&x=1"),
        ("postgresql://host/db?sslpassword=s3cret", "postgresql://host/db?sslpassword=***"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        (Path("/a/b.db"), "/a/b.db"),
    ],
)
def test_it_is_shown_without_its_password(address, expected):
    assert shown(address) == expected


def test_what_a_driver_says_is_one_line_without_the_password():
    said = "no connection:\n  user=me password s3cret\n"
    assert scrubbed(said, "s3cret") == "no connection: user=me password ***"


def test_the_file_of_an_address():
    assert sqlite_file("sqlite:///mlflow.db") == Path("mlflow.db")
    assert sqlite_file("sqlite:////a b/100%/mlflow.db?timeout=3") == Path("/a b/100%/mlflow.db")
    assert sqlite_file("sqlite+pysqlite:////x.db") == Path("/x.db")
    assert sqlite_file("postgresql://host/db") is None


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "mssql+pyodbc://me:s3cret@host/db",
        "postgres://me:s3cret@host/db",
        "mlruns",
        "https://me:s3cret@host",
    ],
)
def test_others_are_refused(address):
    with pytest.raises(StoreError) as refused:
        open_ours(address)
    assert "s3cret" not in refused.value.message + str(refused.value.hint)
    assert "sqlite:///FILE" in str(refused.value.hint)


@pytest.mark.parametrize(
    "address", ["postgresql://me:s3cret@127.0.0.1:1/db", "mysql+pymysql://me:s3cret@127.0.0.1:1/db"]
)
def test_a_server_that_does_not_answer(address, tmp_path):
    pytest.importorskip("psycopg" if address.startswith("post") else "pymysql")
    with pytest.raises(StoreError) as refused:
        merge.known(tmp_path / "base", store=address)
    assert refused.value.message.startswith(shown(address) + ": ")
    assert "s3cret" not in refused.value.message and "\n" not in refused.value.message


def test_a_missing_driver_is_named(tmp_path):
    with pytest.raises(StoreError) as refused:
        merge.known(tmp_path / "base", store="mysql+mysqldb://me:s3cret@127.0.0.1/db")
    assert "needs the Python package mysqlclient" in refused.value.message
    assert refused.value.hint == "uv pip install 'mysqlclient'"
    assert "s3cret" not in refused.value.message


def test_a_file_that_is_missing(tmp_path):
    assert merge.known(tmp_path / "base", store=f"sqlite:///{tmp_path}/no.db") == {}
