"""docs/pipeline.md on this machine, typed and looked at: the chain, each step, and the server."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.sshd import PrivateSshd, free_port
from tests.conftest import ROOT, Command
from tests.integration.witness import Run, Store
from tests.research.conftest import Laboratory, Make
from tests.research.engine import Engine, engine  # noqa: F401
from tests.research.researcher import Step, begin, typed
from tests.research.warm_python import OF_PIPELINE
from tests.waiting import until_it_answers

pytestmark = pytest.mark.timeout(900)

PIPELINE = "pipelines/cifar10"
STEPS = ["preprocess", "train", "building", "evaluate"]
SMALL = {"preprocess_data": "digits", "train_model_type": "simple", "train_num_workers": "0"}


def done(process: subprocess.Popen[str]) -> Command:
    """What it said; a chain is six programs that import MLflow, and this machine may be busy."""
    out, err = process.communicate(timeout=840)
    return Command(process.returncode, out, err)


def parameters(**values: str) -> list[str]:
    return [word for name in values for word in ("-P", f"{name}={values[name]}")]


def tree(runs: list[Run]) -> tuple[Run, dict[str, Run]]:
    """(the pipeline's run, its steps' runs by name): all are there, and each where it belongs."""
    [main] = [run for run in runs if run.tags["step"] == "main"]
    others = [run for run in runs if run.id != main.id]
    steps = {run.tags["step"]: run for run in sorted(others, key=lambda run: run.start_time)}
    assert {run.tags["mlflow.parentRunId"] for run in steps.values()} == {main.id}
    assert {run.experiment for run in steps.values()} == {main.experiment}
    return main, steps


@pytest.fixture(scope="module")
def lab(laboratory: Make) -> Iterator[Laboratory]:
    """Without CIFAR-10, and without a Docker engine."""
    made = laboratory("a pipeline's")
    made.env |= {"DATASETS_MIRROR": "http://127.0.0.1:9/", "DOCKER_HOST": "unix:///no/engine"}
    with made.warm(OF_PIPELINE):
        yield made


@pytest.fixture(scope="module")
def made(lab: Laboratory, sshd: PrivateSshd) -> Step:
    """`make train` as the document has it; test_pipeline_job.py types the rest."""
    typed_there = ("inv remote-run", "mlflow ui")
    steps = begin(lab, sshd).read("pipeline.md", but=typed_there)
    return typed(steps, f"make -C {PIPELINE} train")


@pytest.fixture(scope="module")
def steps(made: Step) -> dict[str, Run]:
    return tree(made.runs)[1]


# The chain, here ----------------------------------------------------------------------------------


def test_make_train_runs_four_steps_below_one_run(made: Step) -> None:
    runs = made.runs
    main, steps = tree(runs)
    assert main.experiment == "cifar10" and list(steps) == STEPS
    assert {run.status for run in runs} == {"FINISHED"}
    assert {run.tags["data"] for run in runs} == {"digits-as-cifar10"}
    assert made.said.count("These are scikit-learn's digits, not CIFAR-10") == 1
    assert "No Docker engine answers here" in made.said
    assert [step for step, _ in steps["train"].history("valid_accuracy")] == [1]
    assert steps["train"].params["model_type"] == "simple"
    assert main.history("accuracy") == steps["evaluate"].history("accuracy")


def test_each_step_leaves_its_artifacts(lab: Laboratory, steps: dict[str, Run]) -> None:
    expected = {
        "preprocess": ["downstream_directory/train.npz", "downstream_directory/test.npz"],
        "train": ["model/cifar10_0.onnx", "checkpoints/best.pt", "checkpoints/last.pt"],
        "building": ["server/server.py", "server/cifar10_0.onnx", "server/requirements.txt"],
        "evaluate": ["evaluation/predictions.csv", "evaluation/evaluation.json"],
    }
    for step, names in expected.items():
        assert [name for name in names if not (steps[step].artifacts / name).is_file()] == []
    # Once: a push would send what lay beside them.
    assert not list((lab.root / "outputs/cifar10").glob("*/*"))
    board = f"logs/tensorboard/cifar10/{steps['train'].id}"
    assert list((lab.root / board).glob("events.out.tfevents.*"))


def test_the_figures_are_right(lab: Laboratory, steps: dict[str, Run]) -> None:
    """Made again from the predictions, and these from the model without a server."""
    folder = steps["evaluate"].artifacts / "evaluation"
    with open(folder / "predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = [row["label"] == row["predicted"] for row in rows]
    times = sorted(float(row["latency_ms"]) for row in rows)
    assert len(rows) == 90 and times[0] > 0
    expected = {"accuracy": sum(right) / 90}
    for percent in (50, 90, 99):
        place = (len(times) - 1) * percent / 100
        low = int(place)
        high = min(low + 1, len(times) - 1)
        value = times[low] + (times[high] - times[low]) * (place - low)
        expected[f"latency_p{percent}_ms"] = value
    told = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    for name, value in expected.items():
        [(_, logged)] = steps["evaluate"].history(name)
        assert logged == pytest.approx(value) and told[name] == pytest.approx(value), name
    script = (
        "import sys, numpy, onnxruntime\n"
        "model = onnxruntime.InferenceSession(sys.argv[1])\n"
        "data = numpy.load(sys.argv[2])\n"
        "[found] = model.run(None, {'images': data['images']})\n"
        "print(*found.argmax(1), *data['labels'])\n"
    )
    model = steps["train"].artifacts / "model/cifar10_0.onnx"
    images = steps["preprocess"].artifacts / "downstream_directory/test.npz"
    said = lab.python("-c", script, str(model), str(images)).out.split()
    assert said[:90] == [row["predicted"] for row in rows]
    assert said[90:] == [row["label"] for row in rows]


@pytest.mark.parametrize("given", ["-P train_epoch=2", "-P preprocess_limit=3"])
def test_what_cannot_be_is_refused_before_anything_is_trained(lab: Laboratory, given: str) -> None:
    """A parameter that there isn't; CIFAR-10 where it can't be had, which is no reason for others."""
    refused = done(
        lab.popen("make", "-C", PIPELINE, "train", f"ARGS={given} --experiment-name=refused")
    )
    assert refused.code != 0 and "These are scikit-learn's digits" not in refused.text
    runs = [run for run in Store(lab.root / "mlflow.db").runs() if run.experiment == "refused"]
    if "train_epoch" in given:
        assert "unrecognized arguments: --train_epoch 2" in refused.text
        assert {run.status for run in runs} <= {"FAILED"} and len(runs) == 1
    else:
        assert "can't be fetched" in refused.text and "-P preprocess_data=digits" in refused.text
        assert {run.status for run in runs} == {"FAILED"}
    assert "Traceback" not in refused.text


def test_a_parameter_too_many_becomes_no_command_of_its_own() -> None:
    """MLflow puts it behind the command, where a line's end would make it a line of its own."""
    for path in sorted((ROOT / "pipelines").rglob("MLproject")):
        points = yaml.safe_load(path.read_text(encoding="utf-8"))["entry_points"]
        assert not [point for point in points.values() if point["command"].endswith("\n")], path


# The server ---------------------------------------------------------------------------------------

ASK = r"""
import http.client, io, json, sys
import numpy as np
from PIL import Image

def png(*size):
    file = io.BytesIO()
    Image.fromarray(np.zeros((*size, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()

def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return [answer.status, answer.read().decode()]

good = png(32, 32)
gif = io.BytesIO()
Image.new("RGB", (32, 32)).save(gif, "GIF")
rubbish = {
    "empty": b"", "text": b"{}", "gif": gif.getvalue(), "half": good[:60],
    "wide": png(32, 33), "vast": png(3000, 3000), "heavy": good + bytes(200_000),
}
told = {name: ask("POST", "/predict", body) for name, body in rubbish.items()}
told |= {"get": ask("GET", "/predict"), "good": ask("POST", "/predict", good)}
print(json.dumps(told))
"""


@pytest.fixture
def server(lab: Laboratory, steps: dict[str, Run]) -> Iterator[int]:
    """The port of the folder's server, started by its own script from elsewhere."""
    port = str(free_port())
    script = steps["building"].artifacts / "server/onnx_runtime_server_entrypoint.sh"
    process = lab.popen("sh", str(script), PORT=port, PYTHON=str(lab.bin / "python"))
    try:
        until_it_answers(lambda: f"http://127.0.0.1:{port}/health", process)
        yield int(port)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_server_refuses_rubbish(lab: Laboratory, server: int) -> None:
    told = json.loads(lab.python("-c", ASK, str(server)).out)
    refused = {name: answer[0] for name, answer in told.items() if name != "good"}
    large = {"heavy": 413, "get": 405}
    assert refused == {**dict.fromkeys(refused, 422), **large}
    assert "32 x 32" in told["wide"][1] and "PNG" in told["text"][1]
    assert told["good"][0] == 200
    answer = json.loads(told["good"][1])
    assert len(answer["probabilities"]) == 10
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert answer["class"] == str(answer["label"])


def test_without_an_engine_no_image_is_promised(lab: Laboratory, steps: dict[str, Run]) -> None:
    assert steps["building"].tags["dockerimage"] == "none"
    refused = done(lab.popen("make", "-s", "-C", PIPELINE, "d_build"))
    assert refused.code != 0 and "No Docker engine answers here" in refused.err
    assert "Traceback" not in refused.err


def test_with_an_engine_the_image_serves(
    lab: Laboratory, steps: dict[str, Run], engine: Engine  # noqa: F811
) -> None:
    model = f"model_directory=runs:/{steps['train'].id}/model"
    words = [f"{PIPELINE}/building", "--env-manager=local", "--experiment-name=image", "-P", model]
    built = done(lab.popen("mlflow", "run", *words, **engine.env))
    assert built.code == 0, built.text
    [run] = [run for run in Store(lab.root / "mlflow.db").runs() if run.experiment == "image"]
    image = run.tags["dockerimage"]
    assert image == f"cifar10:{run.id[:8]}"
    again = done(lab.popen("make", "-s", "-C", PIPELINE, "d_build", **engine.env))
    assert again.code == 0 and f"docker run --rm -p 127.0.0.1:8000:8000 {image}" in again.out
    port = str(free_port())
    settings = ["--network", "host", "-e", "HOST=127.0.0.1", "-e", f"PORT={port}"]
    argv = ["docker", "run", "--rm", "--init", "--name", f"cifar10-{port}", *settings, image]
    try:
        container = lab.popen(*argv, **engine.env)
        until_it_answers(lambda: f"http://127.0.0.1:{port}/health", container)
        told = json.loads(lab.python("-c", ASK, port).out)
        assert told["good"][0] == 200 and told["text"][0] == 422
    finally:
        engine.docker("rm", "-f", f"cifar10-{port}", check=False)
        container.communicate(timeout=60)
        engine.docker("rmi", "-f", image, check=False)


# What was prepared before -------------------------------------------------------------------------


def test_a_failed_step_stops_the_chain_and_tells_how_to_go_on(lab: Laboratory) -> None:
    """One image can be prepared, and taken up by its run's id, and not be trained with."""
    alone = lab.python(
        *("-m", "preprocess", "--data=digits", "--downstream=data/processed/one", "--limit=1"),
        *("--cached_data_id=",),
        PYTHONPATH=PIPELINE,
        MLFLOW_EXPERIMENT_NAME="one",
    )
    [data] = re.findall(r"cached data id: (\w+)", alone.out)
    given = parameters(**SMALL, preprocess_cached_data_id=data)
    words = [PIPELINE, "--env-manager=local", "--experiment-name=chain", *given]
    failed = done(lab.popen("mlflow", "run", *words))
    assert failed.code == 1 and "Two images are the least" in failed.text
    assert "The step train failed" in failed.text and "Traceback" not in failed.text
    assert f"preprocess_cached_data_id={data}" in failed.text
    runs = Store(lab.root / "mlflow.db").runs()
    main, steps = tree([run for run in runs if run.experiment == "chain"])
    statuses = {name: run.status for name, run in steps.items()}
    assert main.status == "FAILED" and statuses == {"preprocess": "FINISHED", "train": "FAILED"}
    assert steps["preprocess"].tags["data_id"] == data
    assert not (steps["preprocess"].artifacts / "downstream_directory").exists()
    assert steps["train"].params["upstream"] == f"runs:/{data}/downstream_directory"


#: The step for each of these ids, by a Python that has imported what it needs.
CACHED = """
import os, sys
from preprocess.__main__ import main
given = ["--data=digits", "--downstream=data/processed/refused", "--limit=0"]
for cached in sys.argv[1:]:
    if not os.fork():
        sys.argv[1:] = [*given, f"--cached_data_id={cached}"]
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_a_cached_data_id_is_checked(lab: Laboratory, steps: dict[str, Run]) -> None:
    told = {"0" * 32: "no run", steps["train"].id: "no preprocess run"}
    told[steps["preprocess"].id] = "was changed"
    file = steps["preprocess"].artifacts / "downstream_directory/train.npz"
    content = file.read_bytes()
    file.write_bytes(content + b"!")
    refused = lab.python("-c", CACHED, *told, PYTHONPATH=PIPELINE)
    file.write_bytes(content)
    assert refused.out.split() == ["1"] * 3 and "Traceback" not in refused.err
    lines = [line for line in refused.err.splitlines() if "preprocess: " in line]
    assert len(lines) == 3
    for line, words in zip(lines, told.values()):
        assert words in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_epochs", "0"),
        ("train_learning_rate", "nan"),
        ("train_model_type", "vgg12"),
        ("preprocess_data", "it's"),
        ("building_model_filename", "../x.onnx"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_runs(
    research_python: Path, name: str, value: str
) -> None:
    text = (ROOT / PIPELINE / "MLproject").read_text(encoding="utf-8")
    known = dict(re.findall(r"^ +(\w+): \{type: \w+, default: (.*)\}$", text, re.MULTILINE))
    given = {each: default.strip('"') for each, default in known.items()} | {name: value}
    script = "from common import arguments\narguments.of_main()\n"
    argv = [str(research_python), "-c", script, *(f"--{each}={given[each]}" for each in given)]
    refused = subprocess.run(argv, cwd=ROOT / PIPELINE, capture_output=True, text=True)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert f"--{name}" in refused.stderr and repr(value) in refused.stderr
