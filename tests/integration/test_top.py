"""`inv remote-top` in a terminal without colours: it hands the terminal to a command, and takes it back."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from remote.config import Project
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.operations import pool
from tests.conftest import INV
from tests.integration.terminal import in_terminal
from tests.lab import Lab

COLOURS = re.compile(rb"\x1b\[(?:[0-9]*;)*(?:3[0-7]|4[0-7]|9[0-7]|38;[25]|48;[25])[;m]")


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Project:
    """`one` has a job that ended, and its log."""
    made = lab.project(tmp_path / "project")
    (made.root / "tasks.py").write_text("from remote.tasks import namespace\n")
    [server] = pool.sessions(made, "one")
    server.prepare()
    paths = JobPaths(lab.root("one", made), "20260101-090000-train-aaaa")
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": paths.id, "kind": "command", "source": "", "name": "train"})
    write_json(paths.status, {"state": "finished"})
    paths.log.write_text("what the job said\n")
    return made


def test_a_key_shows_the_log_and_enter_comes_back(lab: Lab, project: Project) -> None:
    env = {**os.environ, "REMOTE_SSH_CONFIG": str(lab.config), "TERM": "vt100"}
    env.update(COLUMNS="80", LINES="24")
    with in_terminal([str(INV), "remote-top"], env, project.root) as terminal:
        terminal.until(b"train-aaaa", 60)
        assert b"finished" in terminal.seen and not COLOURS.search(terminal.seen)
        terminal.type(b"l")
        terminal.until(b"Enter returns to remote-top", 60)
        assert b"$ inv remote-logs 20260101-090000-train-aaaa --tail 200" in terminal.seen
        assert b"what the job said" in terminal.seen
        terminal.seen = b""
        terminal.type(b"\n")
        terminal.until(b"train-aaaa", 60)
        # The silent host isn't waited for.
        assert terminal.end(b"q") == 0
