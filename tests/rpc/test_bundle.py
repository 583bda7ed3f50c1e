"""The agent's file: one zip for one content, which any Python of a server runs."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remote.rpc import bundle, client
from remote.transport import process
from tests.rpc.calls import installed_python


def test_the_same_files_give_the_same_zip_and_name() -> None:
    files = bundle.contents()
    backwards = dict(reversed(list(files.items())))
    assert bundle.packed(files) == bundle.packed(backwards)
    assert bundle.digest(files) == bundle.digest(backwards)


def test_the_zip_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from remote.rpc import bundle as agent;"
        " print(hashlib.sha256(agent.packed(agent.contents())).hexdigest())"
    )
    root = str(Path(client.__file__).parents[2])
    done = process.run([sys.executable, "-c", code], cwd=Path(root))
    own = hashlib.sha256(bundle.packed(bundle.contents())).hexdigest()
    assert done.stdout.decode().strip() == own, done.stderr


def test_any_change_gives_another_name() -> None:
    base = {"a": b"xy", "b": b""}
    others = [{"a": b"xyz", "b": b""}, {"a": b"x", "b": b"y"}, {"ab": b"xy"}, {"a": b"xy"}, {}]
    names = {bundle.digest(files) for files in [base, *others]}
    assert len(names) == len(others) + 1


def test_the_zip_holds_the_agent_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle.packed(bundle.contents()))).namelist()
    assert (
        "__main__.py" in names
        and "remote/agent/main.py" in names
        and "remote/job/paths.py" in names
    )
    for name in names:
        laptops = ("tasks", "operations", "programs", "transport", "rpc", "connection", "adopt")
        laptops += ("tracking/export", "tracking/check/examine", "session", "config", "output")
        assert not name.startswith(tuple(f"remote/{part}" for part in laptops)), name
        assert "__pycache__" not in name


def test_the_zip_is_small_enough_to_be_sent_over_any_line() -> None:
    files = bundle.contents()
    assert len(bundle.packed(files)) < 0.5 * sum(map(len, files.values()))


#: What modules of the runtime find in a job's environment, and the agent never has.
OF_JOBS = (
    *("hydra", "mlflow", "optuna", "omegaconf", "jupyter_server", "tensorboard"),
    *("nbclient", "nbformat"),
)

IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[3:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in sys.argv[2].split():
            raise
"""


@pytest.mark.parametrize("version", ["", "3.8"])
def test_every_module_that_is_carried_finds_what_it_imports(tmp_path: Path, version: str) -> None:
    """As on a server: nothing of the laptop's, nothing that is installed."""
    data = bundle.packed(bundle.contents())
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
    files = (path for path in tmp_path.glob("remote/**/*.py") if path.name != "__init__.py")
    names = [".".join(path.relative_to(tmp_path).with_suffix("").parts) for path in files]
    python = str(installed_python(version)) if version else sys.executable
    argv = [python, "-IS", "-c", IMPORT_ALL, str(tmp_path), " ".join(OF_JOBS), *names]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert len(names) > 60 and done.returncode == 0, done.stderr


def test_the_agent_brings_no_package_but_its_own() -> None:
    """The agent's folder is on a job's path, behind what the environment has installed."""
    tops = {name.split("/")[0] for name in bundle.contents()}
    assert tops == {"__main__.py", "remote", "remote_job-0.dist-info", "remote_job_mlflow.py"}


def test_other_verbs_start_as_fast_as_before(tmp_path: Path) -> None:
    """What only few of them need, they don't import."""
    for name, data in bundle.contents().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    argv = [sys.executable, "-X", "importtime", "-IS", str(tmp_path)]
    request = json.dumps({"verb": "jobs", "key": "0" * 16}).encode()
    done = subprocess.run(argv, input=request, capture_output=True)
    loaded = done.stderr.decode()
    assert "remote.agent.target_dir" in loaded
    assert "remote.tracking.merge" not in loaded and "yaml" not in loaded
