"""A job's Python as its worker starts it: an environment, a snapshot, and the agent's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.agent.environments import job_hook
from remote.agent_main import unpacked
from remote.rpc import client


@dataclass
class JobPython:
    """`run` starts words in the snapshot with the variables of a job."""

    code: Path
    env: Path
    agent: Path

    @property
    def packages(self) -> Path:
        return next(self.env.glob("lib/python*/site-packages"))

    @property
    def python(self) -> str:
        return str(self.env / "bin/python")

    def write(self, name: str, text: str = "") -> None:
        path = self.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def variables(self) -> dict[str, str]:
        places = [self.code / "src", self.code, self.agent]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return {
            **kept,
            "PATH": os.pathsep.join(
                [str(self.agent / "remote/runtime/bin"), f"{self.env}/bin", kept["PATH"]]
            ),
            "VIRTUAL_ENV": str(self.env),
            "PYTHONPATH": str(self.agent / "remote/runtime/site"),
            "PYTHONUTF8": "1",
            "REMOTE_SITE": str(self.agent / "remote/runtime/site"),
            "REMOTE_IMPORT_PATH": os.pathsep.join(map(str, places)),
            "REMOTE_ENVIRONMENT": str(self.env),
            "REMOTE_LOCK_FILE": "uv.lock",
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {**self.variables(), **more}
        return subprocess.run(words, cwd=self.code, env=env, capture_output=True, text=True)

    def said(self, *words: str, **more: str) -> str:
        """What a program that ends well prints."""
        done = self.run(*words, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def job(tmp_path: Path) -> JobPython:
    zipped = tmp_path / "agent.zip"
    zipped.write_bytes(client.packed(client.contents()))
    code, env = tmp_path / "code 日本", tmp_path / "env"
    code.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    made = JobPython(code, env, Path(unpacked(str(zipped))))
    job_hook.install(made.packages.parents[2])
    return made


def own_packages() -> Path:
    """Where the packages of the Python that runs the tests lie."""
    return Path(sysconfig.get_paths()["purelib"])
