"""Two projects with real MLflow stores, the far one prepared as a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent import target_dir
from remote.job.messages.target import PrepareRequest
from tests.stores import empty_store
from tests.tracking.merge.conftest import Project, World

KEY, ID = "0" * 16, "a" * 32


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "mlflow-template"
    empty_store(folder)
    return folder


@pytest.fixture
def world(tmp_path: Path, template: Path) -> World:
    return World(tmp_path / "it's a 100% #1", template)


@pytest.fixture
def target(world: World) -> Project:
    """The far project as a target, that the one here pushes runs to."""
    target_dir.prepare(
        PrepareRequest(path=str(world.far.root), key=KEY, project=ID, take_over=True)
    )
    return world.far
