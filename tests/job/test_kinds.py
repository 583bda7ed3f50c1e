"""Kinds of job: how each is run, and that nobody else needs to know."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote.errors import JobError
from remote.job.kinds import KINDS, kind_of
from remote.job.spec import JobSpec
from tests.conftest import ROOT


def spec(**facts: Any) -> JobSpec:
    return JobSpec(**{"kind": "script", "source": "", "name": "x", **facts})


def argv(job: JobSpec, run: str = "r1") -> list[str]:
    return kind_of(job).argv(job, "PY", run)


SHELL = shutil.which("bash") or ""
CASES: list[tuple[dict[str, Any], str | list[str]]] = [
    ({"kind": "command", "arguments": ("nvidia-smi", "-L")}, ["nvidia-smi", "-L"]),
    ({"kind": "shell-line", "arguments": ("a 'b' | c",)}, [SHELL, "-c", "a 'b' | c"]),
    ({"kind": "module", "source": "a.b", "arguments": ("--x", "$(y)")}, "PY -m a.b --x $(y)"),
    ({"kind": "script", "source": "src/a.py"}, "PY ./src/a.py"),
    ({"kind": "script", "source": "-c.py", "arguments": ("-m", "x=1")}, "PY ./-c.py -m x=1"),
    ({"kind": "script", "source": "run.sh", "arguments": ("a",)}, "sh ./run.sh a"),
    (
        {"kind": "mlproject", "source": "pipelines/x", "entry_point": "prepare"},
        "PY -m mlflow run ./pipelines/x -e prepare --env-manager local --run-id r1",
    ),
    (
        {
            "kind": "mlproject",
            "source": "",
            "arguments": ("--storage-dir", "/tmp"),
            "defaults": {"a": "1", "b": "x y"},
            "parameters": {"a": "-2"},
        },
        [
            *["PY", "-m", "mlflow", "run", "./.", "-e", "main", "--env-manager", "local"],
            *["--run-id", "r1", "-P", "a=-2", "--storage-dir", "/tmp"],
        ],
    ),
]


@pytest.mark.parametrize(("facts", "words"), CASES)
def test_the_words(facts: dict[str, Any], words: str | list[str]) -> None:
    expected = words.split() if isinstance(words, str) else words
    assert argv(spec(**facts)) == expected


def test_no_run_no_run_id() -> None:
    assert "--run-id" not in argv(spec(kind="mlproject", source="x"), run="")


def test_a_shell_script_that_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/bash\n")
    job = spec(source="run.sh")
    assert argv(job) == ["sh", "./run.sh"]
    script.chmod(0o755)
    assert argv(job) == ["./run.sh"]
    script.write_text("echo")
    assert argv(job) == ["sh", "./run.sh"]


def test_a_kind_of_a_newer_version_is_told() -> None:
    with pytest.raises(JobError, match="no kind of job 'container'"):
        kind_of(spec(kind="container"))


def test_no_kind_is_named_outside_of_its_row() -> None:
    """Each is known by its row, so that a new one needs no look at the rest."""
    # What a file or a program is called may be such a word too; a comparison may not.
    pattern = (
        f"(kind|\\.kind|\\[.kind.\\])\\)? *(==|!=|in|not in) *\\(?[\"']({'|'.join(KINDS)})[\"']"
    )
    found = subprocess.run(
        ["grep", "-rnE", "--include=*.py", pattern, "remote"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("echo a; source nofile; echo after", 1, "a\n"),
        (". ./nofile; echo after", 1, ""),
        ("source nofile || echo after", 0, "after\n"),
        ("source good; echo $A", 0, "5\n"),
        ("false; echo after", 0, "after\n"),
        ("[[ a == a ]] && echo bash", 0, "bash\n"),
    ],
)
def test_a_shell_line_is_bashs_and_ends_where_source_fails(
    line: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "good").write_text("A=5\n")
    words = argv(spec(kind="shell-line", arguments=(line,)))
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (code, said), ended.stderr
    assert ("so the job ends" in ended.stderr) is (code == 1)


def test_without_bash_it_is_shs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert argv(spec(kind="shell-line", arguments=("a | b",))) == ["sh", "-c", "a | b"]
