"""A laptop that is closed while it follows a job, and opened again when the connection is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from remote.agent import processes
from scripts.sshd import PrivateSshd
from tests.conftest import INV, ProjectFolder
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

LINES = 12


def test_what_came_while_the_laptop_slept_is_shown_when_it_wakes(
    project: ProjectFolder, sshd: PrivateSshd, target_root: Path
) -> None:
    project.write("requirements.lock", "# nothing\n")
    script = f"for i in $(seq {LINES}); do echo line $i; sleep 0.3; done; exit 3"
    client = subprocess.Popen(
        [str(INV), "remote-run", "--follow", "--no-record", "--", "sh", "-c", script],
        cwd=project.root,
        env={**os.environ, **project.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert client.stdout
    said = []
    while "line 2\n" not in said:
        said.append(client.stdout.readline())
        assert said[-1], said
    os.killpg(client.pid, signal.SIGSTOP)
    # All connections of this server, the shared one too: its timeouts ran out.
    for pid in processes.descendants(sshd.pid):
        os.kill(pid, signal.SIGKILL)
    (log,) = target_root.glob(".remote/jobs/*/log")
    until(log.read_text, lambda text: f"line {LINES}\n" in text)
    time.sleep(0.5)
    os.killpg(client.pid, signal.SIGCONT)
    out, _ = client.communicate(timeout=120)
    lines = [line for line in ("".join(said) + out).splitlines() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(1, LINES + 1)]
    assert client.returncode == 3, "the job's own exit code"
