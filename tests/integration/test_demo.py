"""`make demo`, in a copy of the project as git knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, UV_CACHE, share_stores
from tests.integration.notebooks import notebook
from tests.integration.witness import Store
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(900)


SAYING = notebook("print(f'epoch {epoch}: loss')", parameters="epoch: int = 20")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that a clone would have."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(argv, text=True).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "clone" / name)
    # The programs of this environment, and nothing that `make` would have to install.
    (tmp_path / "clone/.venv").mkdir()
    (tmp_path / "clone/.venv/bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "clone/.venv/.ready").touch()
    # The README's reader has MLflow make one, here and on the server.
    empty_store(tmp_path / "clone")
    share_stores(tmp_path / "clone/.demo/server")
    return tmp_path / "clone"


def demo(clone: Path, isolated: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"],
        cwd=clone,
        env={**os.environ, "UV_CACHE_DIR": str(UV_CACHE), "PYTHONPATH": str(clone)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sshds(clone: Path) -> list[str]:
    """The servers that still run with a configuration of this copy."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "sshd" in line and str(clone) in line:
            found.append(line)
    return found


def test_the_demonstration_plays_the_whole_loop_twice(clone: Path, isolated: Path) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("what still runs can be told by /proc only")
    for times in (1, 2):
        said = demo(clone, isolated)
        for line in ("$ make sync-push TARGET_DIR=", "$ inv remote-run train.ipynb --epoch 20"):
            assert line in said
        assert "epoch 20: loss" in said and "$ make sync-pull" in said and "make ui" in said
        assert said.count("FINISHED") == times
        assert len(Store(clone / "mlflow.db").runs()) == times
        assert len(list((clone / "data/results/notebooks").glob("*_train.ipynb"))) == times
        if times == 1:
            [run] = Store(clone / "mlflow.db").runs()
            accuracy = [value for _, value in run.history("accuracy")]
            assert len(accuracy) == 20 and accuracy[-1] > 0.9
            # That it learns is shown: the second time it only says so.
            (clone / "src/notebooks/train.ipynb").write_text(SAYING)
    assert sshds(clone) == []
    assert not (isolated / ".ssh").exists()
    assert not (clone / ".remote/last-target").exists()
