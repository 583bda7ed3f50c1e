"""A file store with one experiment, made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracking.filestore.file_stores import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "it's a 100% #1")
    store.experiment()
    return store
