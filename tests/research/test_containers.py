"""containers/: what the settings come to, and both servers in a real Docker engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.sshd import free_port
from tests.conftest import ROOT, Command
from tests.integration.witness import Store
from tests.research.conftest import copy_template
from tests.research.engine import Engine, compose, engine  # noqa: F401
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(1200)

UID, GID = 4321, 4322
BOTH = ("-f", "containers/compose.yaml", "-f", "containers/compose.gpu.yaml")


@dataclass
class Project:
    """A clone, and make in it."""

    root: Path
    env: dict[str, str]

    def run(self, *argv: str, **env: str) -> Command:
        clean = {key: os.environ[key] for key in os.environ if key not in SETTINGS}
        done = subprocess.run(
            argv,
            cwd=self.root,
            env={**clean, **self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
        return Command(done.returncode, done.stdout, done.stderr)

    def make(self, *words: str, **env: str) -> str:
        done = self.run("make", "-s", *words, **env)
        assert done.code == 0, done.text
        return done.text

    def settled(self, *words: str, **env: str) -> dict[str, Any]:
        """What compose makes of the files and settings; it has nothing to warn of."""
        done = self.run("sh", "containers/lab.sh", *words, "config", "--format", "json", **env)
        assert (done.code, done.err) == (0, "")
        return dict(json.loads(done.out))

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text, "utf-8")


SETTINGS = {
    *re.findall(r"\$\{(\w+)", (ROOT / "containers/compose.yaml").read_text()),
    *re.findall(r"^ +([A-Z_]+):$", (ROOT / "containers/compose.yaml").read_text(), re.M),
}


@pytest.fixture
def project(tmp_path: Path, compose: dict[str, str]) -> Project:  # noqa: F811
    root = tmp_path / "My 実験"
    root.mkdir()
    shutil.copytree(ROOT / "containers", root / "containers")
    shutil.copy(ROOT / "Makefile", root)
    return Project(root, compose)


# Settings -----------------------------------------------------------------------------------------


def test_what_nobody_set_needs_no_word_and_opens_nothing_to_others(project: Project) -> None:
    services = project.settled()["services"]
    ports = {name: each["ports"][0] for name, each in services.items()}
    assert {(each["host_ip"], each["published"]) for each in ports.values()} == {
        ("127.0.0.1", "18080"),
        ("127.0.0.1", "15000"),
    }
    assert services["mlflow"]["build"]["args"] == {
        "BASE_IMAGE": "python:3.11-slim",
        "EXTRAS": "lab",
        "PACKAGES": "",
    }
    assert "deploy" not in services["jupyter"]
    assert services["jupyter"]["environment"]["HTTP_PROXY"] is None


def test_settings_come_from_the_project_s_env_file(project: Project) -> None:
    project.write(
        ".env",
        "TARGET_DIR=user@host:/proj\nMLFLOW_TRACKING_URI=http://elsewhere\nLAB_PORT=18081\n"
        "HTTP_PROXY='http://me:a$b&c@proxy.example:3128'\nJUPYTER_ROOT_DIR=\"/mnt/fs/jupyter\"\n"
        "MLFLOW_STORE_DIR=/mnt/fs/mlflow\nRUN_AS_ROOT=1\nCONTAINER_UID=77\nLAB_GPU=1\n",
    )
    services = project.settled()["services"]
    jupyter, mlflow = services["jupyter"], services["mlflow"]
    assert jupyter["ports"][0]["published"] == "18081"
    for values in (jupyter["environment"], mlflow["environment"], mlflow["build"]["args"]):
        # compose doubles the dollar where it writes its files.
        assert values["HTTP_PROXY"].replace("$$", "$") == "http://me:a$b&c@proxy.example:3128"
    assert {each["target"] for each in jupyter["volumes"]} == {
        "/mnt/fs/jupyter",
        "/mnt/fs/jupyter/project",
        "/opt/lab/whose",
    }
    assert mlflow["volumes"][0]["target"] == "/mnt/fs/mlflow"
    assert (jupyter["environment"]["RUN_AS_ROOT"], jupyter["environment"]["CONTAINER_UID"]) == (
        "1",
        "77",
    )
    assert jupyter["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert "TARGET_DIR" not in json.dumps(services)
    [gpu] = jupyter["deploy"]["resources"]["reservations"]["devices"]
    assert (gpu["driver"], gpu["capabilities"]) == ("nvidia", ["gpu"])
    assert mlflow["build"]["args"]["EXTRAS"] == "lab torch"


def test_the_files_work_without_the_script_too(project: Project) -> None:
    done = project.run("docker", "compose", *BOTH, "config", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["services"]["jupyter"]["image"] == "containers-lab-gpu"


def test_two_projects_do_not_share_containers(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.root, tmp_path / "other" / project.root.name)
    other = Project(tmp_path / "other" / project.root.name, project.env)
    names = [each.settled()["name"] for each in (project, other, project)]
    assert names[0] == names[2] != names[1]
    assert all(re.fullmatch(r"my-\d+", name) for name in names)
    assert project.settled(COMPOSE_PROJECT_NAME="mine")["name"] == "mine"


def test_what_make_is_told_is_heard(project: Project) -> None:
    project.write("Makefile", "x:\n\t@sh containers/lab.sh config --format json\n")
    told = ("LAB_PORT=18099", "JUPYTER_ROOT_DIR=/a$b", "OTHER=*")
    jupyter = json.loads(project.make("x", *told))["services"]["jupyter"]
    assert jupyter["ports"][0]["published"] == "18099"
    assert jupyter["environment"]["JUPYTER_ROOT_DIR"].replace("$$", "$") == "/a$b"
    refused = project.run("make", "-s", "x", "MLFLOW_VOLUME=/a b")
    assert refused.code and "MLFLOW_VOLUME has a blank in it" in refused.err


@pytest.mark.parametrize(
    "program, said",
    [
        (None, "Docker with its compose plugin is not installed"),
        ("[ $1 = compose ] || { echo 'Cannot connect.' >&2; exit 1; }", "does not answer: Cannot"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, program: str | None, said: str) -> None:
    root, bin = tmp_path / "project", tmp_path / "bin"
    shutil.copytree(ROOT / "containers", root / "containers")
    bin.mkdir()
    for name in ("sh", "dirname", "basename", "tr", "sed", "cksum", "cut", "tail", "hostname"):
        (bin / name).symlink_to(str(shutil.which(name)))
    if program:
        (bin / "docker").write_text(f"#!/bin/sh\n{program}\n")
        (bin / "docker").chmod(0o755)
    done = Project(root, {}).run("sh", "containers/lab.sh", "up", PATH=str(bin))
    assert done.code == 1 and said in done.err
    assert not (root / "volume").exists()


# The real thing -----------------------------------------------------------------------------------


@dataclass
class Lab(Project):
    """The containers of a clone that belongs to a user of its own."""

    engine: Engine = Engine()
    ports: tuple[str, str] = ("", "")

    def up(self, *words: str) -> str:
        lab, ui = self.ports
        return self.make("lab-up", f"LAB_PORT={lab}", f"UI_PORT={ui}", *words)

    def ask(self, port: str, path: str, token: str = "", body: Any = None, **head: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={**head, **({"Authorization": f"token {token}"} if token else {})},
            method="PUT" if body else "GET",
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def refusal(self, port: str, path: str, **head: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as error:
            self.ask(port, path, **head)
        return error.value.code

    def container(self, service: str) -> str:
        return self.run("sh", "containers/lab.sh", "ps", "-q", service).out.strip()

    def in_kernel(self, token: str, notebook: str, code: str) -> str:
        """What code prints in the kernel of a notebook, as the lab's page would run it."""
        script = (ROOT / "tests/research/kernel.py").read_text()
        words = ("-c", script, "http://127.0.0.1:8888", token, notebook, code)
        return self.engine.docker("exec", self.container("jupyter"), "python3", *words)

    def process(self, name: str) -> tuple[int, dict[str, str]]:
        """Who runs a program of the lab, and its variables; of a private engine only."""
        words = ("top", self.container("jupyter"), "-eo", "pid,uid,comm")
        rows = [line.split() for line in self.engine.docker(*words).splitlines()]
        [(pid, uid)] = [(row[0], row[1]) for row in rows if row[2] == name]
        pairs = Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
        return int(uid), dict(pair.split("=", 1) for pair in pairs if pair)

    def owners(self, *names: str) -> set[tuple[int, int]]:
        found = [path for name in names for path in (self.root / name).rglob("*")]
        assert found
        return {(path.lstat().st_uid, path.lstat().st_gid) for path in found}


@pytest.fixture(scope="module")
def lab(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:  # noqa: F811
    root = tmp_path_factory.mktemp("lab") / "project"
    copy_template(root)
    identity = root.parent / "gitconfig"
    identity.write_text("[user]\nname = A Tester\nemail = tester@example.com\n")
    env = {**engine.env, "GIT_CONFIG_GLOBAL": str(identity)}
    made = Lab(root, env, engine, (str(free_port()), str(free_port())))
    (root / "volume" / "jupyter" / "project").mkdir(parents=True)
    empty_store(root / "volume" / "mlflow")
    _give(root)
    try:
        made.make("lab-build")
        yield made
    finally:
        made.run("sh", "containers/lab.sh", "down")
        if not engine.private:
            made.run("sh", "containers/lab.sh", "down", "--rmi", "all")


def _give(root: Path) -> None:
    """Where the tests are root's, the project is somebody else's; else it is one's own."""
    if os.getuid() == 0:
        for path in (root, *root.rglob("*")):
            os.lchown(path, UID, GID)


def test_root_a_gpu_proxies_and_a_token_of_one_s_own(lab: Lab) -> None:
    if not lab.engine.private:
        pytest.skip("an engine of somebody else may have no GPU")
    jupyter, _ = lab.ports
    lab.write(".env", "RUN_AS_ROOT=1\nLAB_TOKEN='a&b c'\nLAB_GPU=1\nLAB_EXTRAS=lab\n")
    try:
        said = lab.up("HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=*")
        assert "/lab?token=a%26b%20c" in said
        assert lab.ask(jupyter, "/api/status?token=a%26b%20c")["kernels"] == 0
        uid, proxies = lab.process("jupyter-lab")
        assert (uid, proxies["no_proxy"]) == (0, "localhost,127.0.0.1,jupyter,mlflow,*")
        assert proxies["http_proxy"] == "http://127.0.0.1:1"
        asked = lab.engine.docker(
            "inspect", "-f", "{{json .HostConfig.DeviceRequests}}", lab.container("jupyter")
        )
        assert json.loads(asked)[0]["Capabilities"] == [["gpu"]]
        # What root wrote is the user's again at the next start: the next test sees it.
        assert (0, 0) in lab.owners("volume/mlflow")
    finally:
        (lab.root / ".env").unlink()


CELL = """\
from lib.tracking import save_mlflow
save_mlflow(experiment_name="箱", run_name="in a box", params={"a": 1}, metrics={"f1": 0.5},
            result={"words.txt": "学習"})
import ctypes, warnings
ctypes.CDLL("libgomp.so.1")
from lib import plots
warnings.simplefilter("error")
plots.curves({"正解率": [0.5, 0.7]}).savefig("/tmp/curves.png")
"""


def test_a_notebook_is_saved_in_the_containers_and_found_after_a_restart(lab: Lab) -> None:
    said = lab.up()
    [token] = re.findall(rf"http://127\.0\.0\.1:{lab.ports[0]}/lab\?token=(\w+)", said)
    assert f"http://127.0.0.1:{lab.ports[1]}" in said

    jupyter, ui = lab.ports
    assert lab.refusal(jupyter, "/api/contents") == 403
    assert lab.refusal(ui, "/api/2.0/mlflow/experiments/search", Host="evil.example") == 403

    name = "project/src/notebooks/箱.ipynb"
    cell = {"cell_type": "code", "metadata": {}, "source": CELL, "outputs": []}
    content = {"cells": [{**cell, "execution_count": None, "id": "c1"}], "metadata": KERNEL}
    body = {"type": "notebook", "content": {**content, "nbformat": 4, "nbformat_minor": 5}}
    lab.ask(jupyter, f"/api/contents/{urllib.request.quote(name)}", token, body)
    assert "save_mlflow" in (lab.root / "src/notebooks/箱.py").read_text("utf-8")

    printed = lab.in_kernel(token, name, CELL)
    assert f"To see it: http://127.0.0.1:{ui}/#/experiments/" in printed
    check_run(lab)
    author = lab.engine.docker(
        *("exec", lab.container("jupyter"), "git", "-C", "/opt/jupyter/project"),
        *("log", "-1", "--format=%an <%ae>"),
    )
    assert author == "A Tester <tester@example.com>"
    expected = (UID, GID) if os.getuid() == 0 else (os.getuid(), os.getgid())
    assert lab.owners("volume/jupyter", "volume/mlflow", "src/notebooks", ".git") == {expected}

    assert "make lab-up goes on with it" in lab.make("lab-down")
    assert lab.container("jupyter") == ""
    assert token in lab.up()
    check_run(lab)
    found = lab.ask(ui, "/ajax-api/2.0/mlflow/experiments/search?max_results=9")
    assert "箱" in [each["name"] for each in found["experiments"]]


KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def check_run(lab: Lab) -> None:
    store = lab.root / "volume" / "mlflow"
    [run] = [run for run in Store(store / "mlflow.db").runs() if run.experiment == "箱"]
    assert (run.status, run.params, run.history("f1")) == ("FINISHED", {"a": "1"}, [(0, 0.5)])
    [words] = store.glob(f"mlartifacts/*/{run.id}/artifacts/result/words.txt")
    assert words.read_text("utf-8") == "学習"


@pytest.mark.parametrize(
    "service, setting, said",
    [
        ("mlflow", "CONTAINER_UID=me", "must be numbers (id -u, id -g), not 'me'"),
        ("mlflow", "CONTAINER_UID=77", "and this server runs as 77."),
        ("jupyter", "JUPYTER_NOTEBOOK_DIR=/tmp", "(/tmp) must lie below JUPYTER_ROOT_DIR"),
    ],
)
def test_a_server_that_does_not_come_up_says_why(
    lab: Lab, service: str, setting: str, said: str
) -> None:
    done = lab.run("make", "-s", "lab-up", setting)
    assert done.code
    assert said in done.err and f"{service} does not come up" in done.err
    assert lab.container("mlflow") == ""


def test_a_port_that_is_taken(lab: Lab) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = lab.run("make", "-s", "lab-up", f"UI_PORT={other.getsockname()[1]}")
    assert done.code and "If a port is taken, choose another" in done.err
    assert lab.container("mlflow") == ""
