"""A target of the test's own, for what runs inside jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime import place as places


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return places.template(tmp_path_factory.getbasetemp() / "mlflow-template")


@pytest.fixture
def place(tmp_path: Path, store_template: Path) -> places.Place:
    return places.make(tmp_path, store_template)
