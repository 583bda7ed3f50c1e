"""Files of a file store in the way, and mending as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking.check import examine, mend
from tests.tracking.check.conftest import Project, names


def test_mending_is_done_whole_or_not_at_all(project: Project, tmp_path: Path) -> None:
    project = project.moved(tmp_path / "new")
    project.sql(
        "CREATE TRIGGER no BEFORE UPDATE ON model_versions BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    before = project.dump()
    with pytest.raises(StoreError):
        mend(project.dir, examine(project.dir))
    assert project.dump() == before


def test_a_file_store_in_the_way(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked against mlflow's own choice."""
    from mlflow.tracking._tracking_service import utils

    monkeypatch.chdir(project.root)
    assert utils._get_default_tracking_uri().startswith("sqlite")
    (project.mlruns / "123" / "run" / "metrics").mkdir(parents=True)
    (project.mlruns / "123" / "run" / "metrics" / "loss").touch()
    (project.mlruns / "123" / "meta.yaml").touch()
    assert not utils._get_default_tracking_uri().startswith("sqlite")
    (found,) = project.check()
    assert found.name == "file store" and found.items == ("mlruns/123/meta.yaml",)
    assert "mlflow-merge" in found.step
    (project.mlruns / "123" / "meta.yaml").unlink()
    assert names(project.check()) == []
