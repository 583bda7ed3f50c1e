"""`remote-gpu-workflow adopt`, from a wheel, in projects that were not made with the toolkit."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from remote.adopt.edits import BEGIN
from remote.operations.jobs.bootstrap import own_uv
from scripts.sshd import PrivateSshd
from tests.conftest import ROOT, SOCKET, share_stores
from tests.integration.witness import Store
from tests.research.conftest import Laboratory

#: An environment is made from an index, for the first time anywhere.
pytestmark = pytest.mark.timeout(1500)

MAKEFILE = """\
help:  ## Show help
\t@grep -E '^[.a-zA-Z_-]+:.*?## .*$$' $(MAKEFILE_LIST)

clean: ## Remove what was generated
\trm -rf dist

format: ## Run the hooks
\techo hooks

sync: ## Merge the main branch
\tgit pull

train: ## Train the model
\tpython src/train.py
"""

TRAIN = """\
import hydra
import rootutils

rootutils.setup_root(__file__, indicator=".project-root", pythonpath=True)

from src.model import loss


@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg):
    print(f"epochs {cfg.trainer.max_epochs}, loss {loss(cfg.model.rate)}")
    return loss(cfg.model.rate)


if __name__ == "__main__":
    main()
"""

CONFIG = """\
defaults:
  - _self_
  - trainer: default
model:
  rate: 0.5
hydra:
  run:
    dir: ${oc.env:PROJECT_ROOT}/logs/train/${now:%Y-%m-%d_%H-%M-%S}
  sweep:
    dir: ${oc.env:PROJECT_ROOT}/logs/train/${now:%Y-%m-%d_%H-%M-%S}
    subdir: ${hydra.job.num}
"""

#: What a template for Hydra experiments brings, none of it made for the toolkit.
HYDRA = {
    "Makefile": MAKEFILE,
    "README.md": "# A template\n",
    "requirements.txt": "# --- hydra --- #\nhydra-core==1.3.2\n\nrootutils  # the project's root\n",
    "setup.py": "from setuptools import setup\n\nsetup(name='src', install_requires=['hydra-core'])\n",
    "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = "tests/"\n',
    "environment.yaml": "name: myenv\ndependencies:\n  - hydra-core=1.*\n",
    ".project-root": "# this file marks the root\n",
    ".env.example": '# variables of one\'s own\nMY_VAR="/home/user/my path"',
    ".gitignore": "__pycache__/\n/logs/\n/data/\n.env\n.venv\n",
    "configs/train.yaml": CONFIG,
    "configs/trainer/default.yaml": "max_epochs: 10\n",
    "src/__init__.py": "",
    "src/train.py": TRAIN,
    "src/model.py": "def loss(rate):\n    return (rate - 0.1) ** 2\n",
    "tests/test_model.py": "def test_nothing():\n    pass\n",
    "data/raw.csv": "1,2\n",
    "logs/.gitkeep": "",
    "env/pyvenv.cfg": "home = /usr/bin\n",
}


def uv(*words: str) -> str:
    return subprocess.run(
        [str(own_uv()), *words], check=True, capture_output=True, text=True, timeout=240
    ).stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toolkit as a package index would hand it out."""
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "-q", "--wheel", "--out-dir", str(folder), str(ROOT))
    [built] = folder.glob("remote_gpu_workflow-*.whl")
    return built


class Theirs(Laboratory):
    """A project that was not made with the toolkit, which lies in an environment elsewhere."""

    tools: Path

    @property
    def bin(self) -> Path:
        return self.tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment in which the wheel is installed."""
    venv = tmp_path_factory.mktemp("tools") / "venv"
    uv("venv", "-q", "--no-project", "--python", sys.executable, str(venv))
    own = ("-c", str(ROOT / "requirements.lock"), str(wheel))
    uv("pip", "install", "-q", "--python", str(venv / "bin/python"), *own)
    return venv / "bin"


@pytest.fixture
def theirs(
    tmp_path: Path,
    isolated: Path,
    tools: Path,
    sshd: PrivateSshd,
    request: pytest.FixtureRequest,
) -> Theirs:
    """An empty project with a target."""
    share_stores(isolated)
    settings = {
        "TARGET_DIR": f"gpu:adopted-{abs(hash(request.node.nodeid)):x}",
        "REMOTE_SSH_CONFIG": str(sshd.config),
        "REMOTE_TMUX_SOCKET": SOCKET,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    project = Theirs(tmp_path / "their project", settings)
    project.root.mkdir()
    project.tools = tools
    return project


def adopt(project: Theirs, *words: str) -> str:
    """`remote-gpu-workflow adopt`, as its user types it; what it said comes back."""
    done = project.popen(str(project.bin / "remote-gpu-workflow"), "adopt", *words)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, out + err
    return out


def steps(said: str) -> list[str]:
    """The commands that it names in the end."""
    return [line.strip() for line in said.partition("\nNext:\n")[2].splitlines()]


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=A Tester", "-c", "user.email=tester@example.com")
    return subprocess.run(
        ["git", *who, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def notebook(*cells: str) -> str:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = [
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": each,
        }
        for each in cells
    ]
    return json.dumps(
        {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    )


@pytest.fixture
def template(theirs: Theirs) -> Theirs:
    """A template for Hydra experiments, committed by those who wrote it."""
    for name, text in HYDRA.items():
        theirs.write(name, text)
    theirs.write("notebooks/look.ipynb", notebook("print(open('configs/train.yaml').read())"))
    git(theirs.root, "init", "-q", "-b", "main")
    git(theirs.root, "add", "-A")
    git(theirs.root, "commit", "-q", "-m", "theirs")
    return theirs


def test_a_template_of_somebody_elses_keeps_all_it_had(template: Theirs, wheel: Path) -> None:
    said = adopt(template, "--yes")
    for name in git(template.root, "diff", "--name-only").split():
        assert (template.root / name).read_text().startswith(HYDRA[name]), name
    assert "format: they stay" in said and "hooks" in template.run_make("format").out
    [to_add, install, _, run] = steps(said)
    assert to_add == "add to requirements.txt: papermill>=2.7 ipykernel>=6.29 mlflow>=3.17"
    assert install == f"python -m pip install 'remote-gpu-workflow @ {wheel.as_uri()}'"
    assert run == "inv remote-run src/train.py --follow --pull"
    assert "Nothing to do" in adopt(template)


def test_its_jobs_run_there_and_their_records_come_back(
    template: Theirs, sshd: PrivateSshd
) -> None:
    said = adopt(template, "--yes")
    packages = steps(said)[0].partition(": ")[2].split()
    template.write("requirements.txt", "\n".join([HYDRA["requirements.txt"], *packages]))
    pushed = template.run_make("sync-push")
    assert pushed.code == 0 and "pushed to gpu:" in pushed.out, pushed.text
    target = sshd.home / template.env["TARGET_DIR"].partition(":")[2]
    assert (target / "data/raw.csv").is_file() and not (target / "env").exists()

    words = ("trainer.max_epochs=1", "model.rate=0.3")
    assert "epochs 1, loss 0.0" in job(template, "src/train.py", "--", *words)
    job(template, "src/train.py", "--", "-m", "model.rate=0.1,0.2")
    job(template, "notebooks/look.ipynb")
    template.inv("sync-pull")
    runs = Store(template.root / "mlflow.db").runs()
    assert {run.status for run in runs} == {"FINISHED"}
    assert sorted(run.params.get("model.rate", "") for run in runs) == ["", "", "0.1", "0.2", "0.3"]
    [result] = template.root.glob("data/results/notebooks/*_look.ipynb")
    assert "trainer: default" in result.read_text()
    assert list(template.root.glob("logs/train/*/.hydra/config.yaml"))


def job(project: Theirs, program: str, *words: str) -> str:
    """Run a job to its end; its log comes back."""
    return project.inv("remote-run", program, "--gpus", "0", "--follow", *words).text


def test_notebooks_and_nothing_else(theirs: Theirs, sshd: PrivateSshd) -> None:
    theirs.write("実験 one.ipynb", notebook("print(6 * 7)"))
    said = adopt(theirs)
    assert not (theirs.root / ".gitignore").exists()
    assert steps(said)[-1] == "inv remote-run '実験 one.ipynb' --follow --pull"
    assert "Usage" in theirs.inv("remote-run", "実験 one.ipynb", "--help").out
    theirs.inv("sync-push")
    target = sshd.home / theirs.env["TARGET_DIR"].partition(":")[2]
    assert (target / "実験 one.ipynb").is_file() and (target / "requirements.txt").is_file()


def test_uv_locks_what_jobs_need_and_keeps_the_toolkit_out_of_it(theirs: Theirs) -> None:
    theirs.write(
        "pyproject.toml",
        '[project]\nname = "theirs"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["pyyaml"]\n',
    )
    uv("lock", "-q", "--project", str(theirs.root))
    said = adopt(theirs, "--yes")
    assert steps(said)[2].startswith("uv run inv")
    for step in steps(said)[:2]:
        program, *words = shlex.split(step)
        assert program == "uv"
        uv(words[0], "--no-sync", "-q", "--project", str(theirs.root), *words[1:])
    listed = ("export", "--frozen", "--no-hashes", "-q", "--project", str(theirs.root))
    for_jobs, here = uv(*listed), uv(*listed, "--group", "remote")
    assert "papermill==" in for_jobs and "mlflow==" in for_jobs and "pyyaml==" in for_jobs
    assert "remote-gpu-workflow" not in for_jobs and "remote-gpu-workflow" in here
    assert "Nothing to do" in adopt(theirs)


def test_what_poetry_keeps_is_left_to_poetry(theirs: Theirs) -> None:
    project = '[tool.poetry]\nname = "theirs"\nversion = "1"\n\n[tool.poetry.dependencies]\npython = "^3.10"\nipykernel = "*"\n'
    theirs.write("pyproject.toml", project)
    theirs.write("poetry.lock", "")
    theirs.write(
        "tasks.py", "from invoke import task\n\n\n@task\ndef disk(c):\n    print('mine')\n"
    )
    said = adopt(theirs, "--yes")
    assert steps(said)[0] == "poetry add --lock --group dev 'papermill>=2.7' 'mlflow>=3.17'"
    assert (theirs.root / "pyproject.toml").read_text() == project
    assert steps(said)[1].startswith("poetry run python -m pip install 'remote-gpu-workflow @ ")
    assert theirs.inv("disk").out == "mine\n" and "sync-push" in theirs.inv("--list").out
    assert BEGIN in (theirs.root / "tasks.py").read_text()
