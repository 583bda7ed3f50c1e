"""`inv doctor` from end to end: lines, JSON, exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """\
from invoke.program import Program
from remote.tasks import namespace
Program(namespace=namespace).run()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.lock").touch()
    (folder / "tasks.py").touch()
    return folder


def inv(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "doctor", *words],
        cwd=root,
        # An index that answers nothing fails at once.
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "UV_DEFAULT_INDEX": "http://127.0.0.1:9",
            **env,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_line_is_ok_or_a_problem_with_its_fix(root: Path, tmp_path: Path) -> None:
    done = inv(root, "--target", f"{tmp_path}/target", HTTPS_PROXY="", https_proxy="")
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok ", "warn", "fail", "   ")) for line in lines)
    at = next(i for i, line in enumerate(lines) if "package index" in line)
    assert lines[at].startswith("warn") and lines[at + 1].strip().startswith("fix: ")
    assert done.returncode == 0, "no problem that stops all work"
    assert "problem" in done.stderr


def test_a_server_that_is_not_reached_leaves_the_laptops_part(root: Path) -> None:
    done = inv(root, "--target", "no-such-host.invalid:/proj")
    assert done.returncode == 1
    assert "ok    laptop  rsync" in done.stdout and "ok    laptop  lock file" in done.stdout
    assert "fail  server  server" in done.stdout and "~/.ssh/config" in done.stdout


def test_json(root: Path) -> None:
    done = inv(root, "--json")
    found = json.loads(done.stdout)
    (gap,) = [check for check in found["checks"] if not check["ok"]]
    assert found["error"]["message"] == "1 problem, 1 of them blocking."
    assert gap["name"] == "target" and gap["stops"] and done.returncode == 1


def test_settings_that_can_not_be_read_are_a_gap_among_others(root: Path) -> None:
    (root / ".env").write_bytes(b"\xff\xfe\x00")
    done = inv(root)
    assert done.returncode == 1 and "fail  laptop  .env" in done.stdout
    assert "ok    laptop  lock file" in done.stdout and "Traceback" not in done.stderr


def test_what_a_server_says_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from remote.operations.doctor import Check
    from remote.tasks import server

    server._show(Check("there", "GPUs", False, "\x1b[2J\rok", "fix\nme"))
    assert capsys.readouterr().out.count("\n") == 2
    server._show(Check("there", "GPUs", False, "\x1b[2J", ""))
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "HF_TOKEN"])
def test_a_secret_changes_no_program(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from invoke.context import Context
    from invoke.exceptions import Exit

    from remote.tasks import server

    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    is_secret = name == "HF_TOKEN"
    words = "Nothing was typed" if is_secret else f"{name} changes which programs"
    with pytest.raises(Exit, match=words):
        server.remote_secrets(Context(), key=name, target=str(root.parent / "target"))


def test_a_secret_of_several_lines_is_kept_whole(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invoke.context import Context

    from remote.tasks import server, sync

    monkeypatch.chdir(root)
    target = f"{tmp_path}/target"
    sync.sync_push(Context(), target=target)
    monkeypatch.setattr("sys.stdin", io.StringIO('\ufeff{\n "key": "a"\n}\n'))
    server.remote_secrets(Context(), key="GCP_KEY", target=target)
    kept = json.loads((tmp_path / "target/.remote/secrets.json").read_text())
    assert kept == {"GCP_KEY": '{\n "key": "a"\n}'}


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, remote.tasks.server; print(*sorted(sys.modules))"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert not {"mlflow", "fabric", "paramiko", "remote.operations.doctor"} & set(loaded)
