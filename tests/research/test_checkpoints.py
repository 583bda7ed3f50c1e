"""The programs of docs/checkpoints.md go on where they stopped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.research.researcher import files

PROGRAMS = dict(files((ROOT / "docs/checkpoints.md").read_text("utf-8")))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_goes_on_where_it_stopped(name: str, research_python: Path, tmp_path: Path) -> None:
    env = {**os.environ, "REMOTE_JOB_STATE_DIR": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    said = []
    for epochs in ("EPOCHS = 2", "EPOCHS = 3"):
        program = tmp_path / Path(name).name
        program.write_text(PROGRAMS[name].replace("EPOCHS = 10", epochs))
        done = subprocess.run(
            [research_python, program], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said.append([line for line in done.stdout.splitlines() if line.startswith("epoch ")])
    assert said == [["epoch 0", "epoch 1"], ["epoch 2"]]
