"""A job's process becomes the program it runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from remote.runtime import run_program
from tests.runtime.place import Place

CASES = [
    ({"kind": "command", "arguments": ["nvidia-smi", "-L"]}, ["nvidia-smi", "-L"]),
    ({"kind": "module", "source": "a.b", "arguments": ["--x", "$(y)"]}, "PY -m a.b --x $(y)"),
    ({"kind": "script", "source": "src/a.py"}, "PY ./src/a.py"),
    ({"kind": "script", "source": "-c.py", "arguments": ["-m", "x=1"]}, "PY ./-c.py -m x=1"),
    ({"kind": "script", "source": "run.sh", "arguments": ["a"]}, "sh ./run.sh a"),
    (
        {"kind": "mlproject", "source": "pipelines/x", "entry_point": "prepare"},
        "PY -m mlflow run ./pipelines/x -e prepare --env-manager local --run-id r1",
    ),
    (
        {
            "kind": "mlproject",
            "source": "",
            "arguments": ["--storage-dir", "/tmp"],
            "defaults": {"a": "1", "b": "x y"},
            "parameters": {"a": "-2"},
        },
        [
            *["PY", "-m", "mlflow", "run", "./.", "-e", "main", "--env-manager", "local"],
            *["--run-id", "r1", "-P", "a=-2", "--storage-dir", "/tmp"],
        ],
    ),
]


@pytest.mark.parametrize(("job", "words"), CASES)
def test_the_words(job: dict, words: str | list[str]) -> None:
    expected = words.split() if isinstance(words, str) else words
    assert run_program.argv(job, python="PY", run="r1") == expected


def test_no_run_no_run_id() -> None:
    job = {"kind": "mlproject", "source": "x"}
    assert "--run-id" not in run_program.argv(job, python="PY", run="")
    with pytest.raises(ValueError, match="notebook"):
        run_program.argv({"kind": "notebook"}, python="PY", run="")


def test_a_shell_script_that_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/bash\n")
    job = {"kind": "script", "source": "run.sh"}
    assert run_program.argv(job, python="PY", run="") == ["sh", "./run.sh"]
    script.chmod(0o755)
    assert run_program.argv(job, python="PY", run="") == ["./run.sh"]
    script.write_text("echo")
    assert run_program.argv(job, python="PY", run="") == ["sh", "./run.sh"]


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
    for of in ("a", "b"):
        done = mlflow.projects.run(".", "step", parameters={"of": of}, env_manager="local")
        print("STEP", done.run_id)
"""

STEP = """
import mlflow

with mlflow.start_run():
    mlflow.log_metric("in_step", 1)
"""


def test_an_mlproject_is_the_jobs_run_and_its_steps_are_children(place: Place) -> None:
    place.write("pipelines/my steps/MLproject", MLPROJECT)
    place.write("pipelines/my steps/main.py", MAIN)
    place.write("pipelines/my steps/step.py", STEP)
    given = {
        "defaults": {"rate": "0.1", "text": "it's $HOME; exit 1"},
        "parameters": {"count": "3"},
    }
    job = {"kind": "mlproject", "hydra": False, "entry_point": "main", **given}
    said = place.run(place.job("pipelines/my steps", **job))
    assert "MAIN job1 ['0.1', '3', \"it's $HOME; exit 1\"]" in said
    steps = [line.split()[1] for line in said.splitlines() if line.startswith("STEP ")]
    assert place.children("job1") == steps and len(steps) == 2
    assert place.statuses() == dict.fromkeys(["job1", *steps], "FINISHED")
    assert place.values("params", "job1")["count"] == "3"
    assert place.values("latest_metrics", steps[0]) == {"in_step": 1.0}


def test_an_mlproject_that_fails(place: Place) -> None:
    place.write("p/MLproject", MLPROJECT)
    job = place.job("p", kind="mlproject", hydra=False, entry_point="broken")
    place.run(job, code=1)
    assert place.statuses() == {"job1": "FAILED"} and sys.executable
