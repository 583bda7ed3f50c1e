"""What uv keeps of packages, and what of it goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remote.agent.environments import downloads
from remote.agent.jobs.prune import prune
from remote.job.messages.old_jobs import PruneRequest
from tests.agent.environments.conftest import make_wheel
from tests.agent.job_folder import KEY


@pytest.fixture
def cache(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """uv's cache where uv puts it by itself: two packages, of which all environments share files."""
    monkeypatch.delenv("UV_CACHE_DIR")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("one", "two"):
        make_wheel(wheels, name)
    for env, packages in (("first", ["one"]), ("second", ["one", "two"])):
        folder = str(tmp_path / env)
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, folder], check=True)
        install = ["uv", "pip", "install", "-q", "--no-index", f"--find-links={wheels}"]
        install += [f"--python={folder}/bin/python", "--link-mode=hardlink"]
        subprocess.run([*install, *packages], check=True)
    return Path.home() / ".cache/uv"


def test_packages_that_an_environment_shares_are_used(cache: Path, tmp_path: Path) -> None:
    assert downloads.folder() == cache and downloads.is_default(cache)
    assert downloads.unused(cache) == {}
    shutil.rmtree(tmp_path / "second")
    assert list(downloads.unused(cache)) == ["two"]


def test_a_prune_frees_what_no_environment_uses(root: Path, cache: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "second")
    would = prune(PruneRequest(key=KEY, older=60, dry_run=True))
    assert would.downloads > 0 and "two" in downloads.unused(cache)
    done = prune(PruneRequest(key=KEY, older=60))
    assert (done.downloads, done.remarks) == (would.downloads, ())
    assert downloads.unused(cache) == {} and len(list(cache.glob("archive-v*/*"))) == 1
    assert prune(PruneRequest(key=KEY, older=60)).downloads == 0


def test_a_cache_that_a_setting_names_stays_and_is_told(
    root: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.rename(tmp_path / "shared")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "shared"))
    shutil.rmtree(tmp_path / "second")
    answer = prune(PruneRequest(key=KEY, older=60))
    assert answer.downloads == 0 and str(tmp_path / "shared") in answer.remarks[0]
    assert "two" in downloads.unused(tmp_path / "shared")


def test_without_uv_there_is_nothing_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert downloads.folder() is None
