"""The revisions of the project's own MLflow, and of environments that are none."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from remote.tracking.revisions import StoreSchema, schema_of
from tests.stores import empty_store

OURS = Path(sys.executable)
SOME = StoreSchema("b", "1.2", ("a", "b", "c"))


def test_its_own_mlflow_brings_a_store_to_the_newest_that_it_knows(tmp_path: Path) -> None:
    schema = schema_of(empty_store(tmp_path), OURS)
    assert schema.mlflow == version("mlflow") and schema.revision == schema.known[-1]
    assert schema.known[0] == "451aebb31d03" and len(set(schema.known)) == len(schema.known) > 60
    assert not schema.is_refused


def test_an_environment_without_mlflow_knows_none(tmp_path: Path) -> None:
    schema = schema_of(tmp_path / "none.db", tmp_path / "bin/python")
    assert schema == ("", "", (), "") and not schema.is_refused


@pytest.mark.parametrize(
    ("later", "can"), [("a", False), ("b", False), ("c", True), ("d", False), ("", False)]
)
def test_migrations_lead_to_later_ones_alone(later: str, can: bool) -> None:
    assert SOME.can_become(later) is can
    assert not SOME._replace(revision="d").can_become(later)


def test_a_store_is_refused_where_its_revision_is_not_known() -> None:
    assert SOME._replace(revision="d").is_refused
    assert not SOME.is_refused and not SOME._replace(revision="").is_refused
