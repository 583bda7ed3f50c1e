"""The private folder of a service: removed with it, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent.job_folders import results
from remote.files import write_json
from remote.job.serving import PRIVATE
from tests.agent.job_folder import add


@pytest.fixture
def private() -> Iterator[Path]:
    """As a service makes it."""
    prefix = Path(PRIVATE)
    with tempfile.TemporaryDirectory(
        dir=prefix.parent, prefix=prefix.name, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def test_the_private_folder_goes_and_no_other(root: Path, private: Path, tmp_path: Path) -> None:
    paths = add(root)
    write_json(paths.serving, {"folder": str(private), "path": "/lab"})
    results.clear_service(paths)
    assert not private.exists() and not paths.serving.exists()
    write_json(paths.serving, {"folder": f"{PRIVATE}x/../../{tmp_path}", "path": "/"})
    results.clear_service(paths)
    assert tmp_path.is_dir()
