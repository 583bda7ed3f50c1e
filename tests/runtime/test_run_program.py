"""A job's process becomes the program it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from remote.runtime import run_program
from tests.runtime.place import Place


def test_a_hydra_applications_variables(tmp_path: Path) -> None:
    found = run_program.hydra_variables({"A": "b", "PYTHONWARNINGS": "ignore:x"}, tmp_path)
    assert found["A"] == "b" and found["REMOTE_JOB_FOLDER"] == str(tmp_path.resolve())
    assert found["PYTHONWARNINGS"].startswith("ignore:x,ignore:hydra.utils.instantiate()")


def test_words_arrive_as_they_were_typed(place: Place) -> None:
    place.write("show.py", "import sys; print(sys.argv[1:])")
    odd = ["a b", "$HOME", "`x`", "it's", "", "--", "-m", "日本", "x\ny", "*"]
    assert place.run(place.job("show.py", *odd, hydra=False)) == f"{odd}\n"
    words = ["printf", "<%s>", *odd]
    said = place.run(place.job("", *words, kind="command", hydra=False))
    assert said == "".join(f"<{word}>" for word in odd)


def test_exit_code_and_signal_are_the_programs(place: Place) -> None:
    place.write("src/pkg/ends.py", "import sys; sys.exit(int(sys.argv[1]))")
    place.run(place.job("pkg.ends", "7", kind="module", hydra=False), code=7)
    place.write("waits.py", "import time; print('ready', flush=True); time.sleep(60)")
    process = place.start(place.job("waits.py", hydra=False))
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    process.stdout.close()


def test_a_program_that_is_not_there(place: Place) -> None:
    place.write("data.csv", "1")
    said = place.run(place.job("", "no-such-program", kind="command", hydra=False), code=127)
    assert said == "[remote] no-such-program: not found in this job.\n"
    job = place.job("", "./data.csv", kind="command", hydra=False)
    assert place.run(job, code=126) == "[remote] ./data.csv: Permission denied.\n"


MLPROJECT = """
name: steps
entry_points:
  main:
    parameters:
      rate: {type: float, default: 0.10}
      count: float
      text: {type: string, default: "it's $HOME; exit 1"}
    command: python main.py {rate} {count} {text}
  step:
    parameters:
      of: string
    command: python step.py {of}
  broken:
    command: exit 3
"""

MAIN = """
import sys
import mlflow
import mlflow.projects

with mlflow.start_run() as run:
    print("MAIN", run.info.run_id, sys.argv[1:])
    mlflow.log_param("rate", float(sys.argv[1]))
    mlflow.log_param("count", int(sys.argv[2]))
    mlflow.log_metric("m", 1)
    done = mlflow.projects.run(".", "step", parameters={"of": "a"}, env_manager="local")
    print("STEP", done.run_id)
"""

STEP = """
import mlflow

with mlflow.start_run():
    mlflow.log_metric("in_step", 1)
"""


def test_an_mlproject_is_the_jobs_run_and_its_step_a_child(place: Place) -> None:
    place.write("pipelines/my steps/MLproject", MLPROJECT)
    place.write("pipelines/my steps/main.py", MAIN)
    place.write("pipelines/my steps/step.py", STEP)
    given = {
        "defaults": {"rate": "0.1", "text": "it's $HOME; exit 1"},
        "parameters": {"count": "3"},
    }
    job = {"kind": "mlproject", "hydra": False, "entry_point": "main", **given}
    said = place.run(place.job("pipelines/my steps", **job))
    assert "MAIN f1 ['0.1', '3', \"it's $HOME; exit 1\"]" in said
    [step] = [line.split()[1] for line in said.splitlines() if line.startswith("STEP ")]
    assert place.children("f1") == [step]
    assert place.statuses() == {"f1": "FINISHED", step: "FINISHED"}
    assert place.values("params", "f1")["count"] == "3"
    assert place.values("latest_metrics", step) == {"in_step": 1.0}


def test_an_mlproject_that_fails(place: Place) -> None:
    place.write("p/MLproject", MLPROJECT)
    job = place.job("p", kind="mlproject", hydra=False, entry_point="broken")
    place.run(job, code=1)
    assert place.statuses() == {"f1": "FAILED"} and sys.executable
