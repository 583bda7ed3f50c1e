"""Which store is checked, and what mending leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.operations.tracking.check_store import check
from tests.operations.tracking.conftest import Store


@pytest.fixture
def moved(here: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The working directory's project, copied from another folder."""
    here.run("r1", artifact="note")
    here.sql("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, '/old')", str(here.root))
    (here.root / "tasks.py").touch()
    monkeypatch.chdir(here.root)
    return here


def location(store: Store) -> str:
    return str(store.sql("SELECT artifact_uri FROM runs")[0][0])


def test_without_a_name_it_is_the_projects_own(
    moved: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(moved.root / "mlruns")
    checked = check()
    assert checked.store == str(moved.file)
    assert any(finding.mendable for finding in checked.findings)


def test_a_check_changes_nothing(moved: Store) -> None:
    before = moved.dump()
    checked = check()
    assert (checked.mended, checked.backup, moved.dump()) == ((), "", before)


def test_what_was_mended_is_told_and_what_is_left(moved: Store) -> None:
    found = check().findings
    checked = check(mending=True)
    assert checked.mended == tuple(finding for finding in found if finding.mendable) != ()
    assert not any(finding.mendable for finding in checked.findings)
    assert Path(location(moved)) == next(moved.root.glob("mlruns/*/r1/artifacts"))
    assert Path(checked.backup).is_file()


def test_where_nothing_can_be_mended_no_copy_is_made(moved: Store) -> None:
    check(mending=True)
    before = sorted(moved.root.iterdir())
    again = check(mending=True)
    assert (again.mended, again.backup) == ((), "") and sorted(moved.root.iterdir()) == before


@pytest.mark.parametrize("name", ["other/mlflow.db", "other", "sqlite:///other/mlflow.db"])
def test_another_store_is_named_by_file_folder_or_address(
    moved: Store, empty: Path, name: str
) -> None:
    other = Store(moved.root / "other", empty)
    checked = check(name, mending=True)
    assert Path(checked.store).resolve() == other.file and checked.findings == ()
    assert location(moved).startswith("/old/")


@pytest.mark.parametrize("address", ["http://host", "postgresql://me:secret@host/db"])
def test_only_files_are_checked(moved: Store, address: str) -> None:
    with pytest.raises(StoreError, match="Only SQLite files are checked") as caught:
        check(address)
    assert "secret" not in str(caught.value)


def test_a_folder_without_a_store_is_refused(moved: Store) -> None:
    with pytest.raises(StoreError, match=r"mlruns has no mlflow\.db"):
        check("mlruns")
