"""Lines before a job: the real bash, what it exports, and which line failed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from remote.agent.worker import setup_lines
from remote.errors import JobError

ENV = {"PATH": os.defpath, "HOME": "/nonexistent", "KEPT": "1", "GONE": "1", "CHANGED": "a b"}


def run(tmp_path: Path, *lines: str, **more: bool) -> tuple[setup_lines.Exports, str]:
    """What the lines export, and what the log has."""
    with open(tmp_path / "log", "w+b", buffering=0) as log:
        exports = setup_lines.run(lines, log, tmp_path, ENV, **more)
    return exports, (tmp_path / "log").read_text()


def test_what_lines_export_comes_back_and_the_log_shows_them(tmp_path: Path) -> None:
    exports, log = run(
        tmp_path,
        "load() { export LOADED=$1 TWO=$'x\\ny=z'; }",
        "load cuda/12.4; plain=1; echo to the log",
        'export CHANGED="$CHANGED c"; unset GONE; export PATH=/opt/cuda/bin:$PATH',
    )
    path = exports.values["PATH"]
    assert {**exports.values, "PATH": ""} == {
        "LOADED": "cuda/12.4",
        "TWO": "x\ny=z",
        "CHANGED": "a b c",
        "PATH": "",
    }
    assert path.startswith("/opt/cuda/bin:") and exports.unset == ["GONE"]
    assert "[remote] setup: load cuda/12.4; plain=1; echo to the log\nto the log\n" in log


@pytest.mark.parametrize("line", ["no-such-command x", "exit 127", "false; (exit 127)"])
def test_the_line_that_fails_is_named_and_none_after_it_runs(tmp_path: Path, line: str) -> None:
    with pytest.raises(JobError) as caught:
        run(tmp_path, "export A=1", line, "touch too-late")
    assert caught.value.message == f"`setup` failed (127): {line}"
    assert not (tmp_path / "too-late").exists()


def test_what_is_not_bash_is_told_by_bash(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"`setup` failed \(\d+\): if then"):
        run(tmp_path, "if then")
    assert "syntax error" in (tmp_path / "log").read_text()


def test_a_line_may_leave_something_in_the_background(tmp_path: Path) -> None:
    exports, _ = run(tmp_path, "sleep 60 & export PID=$!")
    os.kill(int(exports.values["PID"]), signal.SIGKILL)


def test_a_stop_ends_a_line_that_goes_on(tmp_path: Path) -> None:
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "exec sleep 61.7")
    finally:
        signal.signal(signal.SIGALRM, before)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 61.7" not in listed


def test_a_server_without_bash_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENV, "PATH", str(tmp_path))
    with pytest.raises(JobError, match="bash, which is to run `setup`"):
        run(tmp_path, "true")


def test_what_packages_of_conda_want_is_set_as_by_activate(tmp_path: Path) -> None:
    scripts = tmp_path / "it's/etc/conda/activate.d"
    scripts.mkdir(parents=True)
    (scripts / "a.sh").write_text('export GDAL_DATA="$KEPT/gdal"; false')
    (scripts / "b.sh").write_text("export CC=gcc")
    lines = setup_lines.activation(tmp_path / "it's")
    exports, log = run(tmp_path, *lines, quiet=True)
    assert exports.values == {"GDAL_DATA": "1/gdal", "CC": "gcc"} and log == ""
    assert setup_lines.activation(tmp_path) == []


def test_a_line_may_leave_no_path(tmp_path: Path) -> None:
    exports, _ = run(tmp_path, "export A=1; unset PATH")
    assert exports.values == {"A": "1"} and exports.unset == ["PATH"]


@pytest.mark.parametrize("line", ["exit 0", "exec true"])
def test_a_line_that_ends_its_shell_has_not_failed_with_0(tmp_path: Path, line: str) -> None:
    with pytest.raises(JobError, match=f"`setup` ended its own shell: {line}"):
        run(tmp_path, line, "true")
