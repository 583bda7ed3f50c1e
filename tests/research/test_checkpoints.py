"""The programs of docs/checkpoints.md go on where they stopped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.research.researcher import files

PROGRAMS = dict(files((ROOT / "docs/checkpoints.md").read_text("utf-8")))

#: The program in the file `name` of each of these folders, one after the other, by a Python that
#: has imported what all of them need.
EACH = """
import os, runpy, sys
import accelerate, lightning, torch._dynamo, torch.utils.tensorboard, transformers.trainer
name, *folders = sys.argv[1:]
for folder in folders:
    if not os.fork():
        os.chdir(folder)
        os.environ["REMOTE_JOB_STATE_DIR"] = os.path.abspath("../state")
        sys.argv[:] = [name]
        with open("said", "w") as said:
            os.dup2(said.fileno(), 1)
        runpy.run_path(name, run_name="__main__")
        sys.exit()
    if os.wait()[1]:
        sys.exit(f"{folder} failed")
"""


@pytest.mark.timeout(300)
def test_each_goes_on_where_it_stopped(research_python: Path, tmp_path: Path) -> None:
    begun, folders = ["epoch 0", "epoch 1"], []
    for name, text in PROGRAMS.items():
        for epochs in ("EPOCHS = 2", "EPOCHS = 3"):
            folders.append(tmp_path / Path(name).stem / epochs)
            folders[-1].mkdir(parents=True)
            (folders[-1] / "main.py").write_text(text.replace("EPOCHS = 10", epochs))
    done = subprocess.run(
        [research_python, "-c", EACH, "main.py", *folders],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = [(folder / "said").read_text().splitlines() for folder in folders]
    told = [[line for line in lines if line.startswith("epoch ")] for lines in said]
    assert told == [begun, ["epoch 2"]] * len(PROGRAMS)
