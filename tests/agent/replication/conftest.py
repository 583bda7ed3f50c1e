"""Two projects with real MLflow stores, the far one prepared as a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent import target_dir
from remote.job.messages.target import PrepareRequest
from tests.tracking.merge.conftest import Project, World

KEY, ID = "0" * 16, "a" * 32


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
