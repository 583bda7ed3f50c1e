"""Workers are killed, and tmux below them: what their jobs' code does then, and what is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes
from tests.integration.farm import Farm, farm_in
from tests.waiting import until


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("killed-workers")
    with pytest.MonkeyPatch.context() as patch:
        # Workers get the home of the tmux server, which is that of the first test.
        patch.setenv("HOME", str(folder))
        with farm_in(folder, gpus=0) as made:
            made.project.env["HOME"] = str(folder)
            yield made


#: Each writes its process id into a file of its name, and goes on.
SCATTERED = """
cd '{folder}'
go_on='echo $$ > $0.new; mv $0.new $0; while :; do sleep 0.1; done'
sh -c "$go_on" child &
setsid sh -c "$go_on" session </dev/null >/dev/null 2>&1 &
(env -i PATH="$PATH" setsid sh -c "$go_on" orphan &) &
echo $$ > first
wait
"""
NAMES = ("first", "child", "session", "orphan")


def scattered(farm: Farm, folder: Path) -> tuple[str, dict[str, int]]:
    """A job whose code goes everywhere, and the processes of that; its worker was killed."""
    job = farm.submit(SCATTERED.format(folder=folder))
    for name in NAMES:
        until(lambda name=name: (folder / name).exists() and (folder / name).read_text().strip())
    os.kill(farm.until(job, "running")["worker"]["pid"], signal.SIGKILL)
    return job, {name: int((folder / name).read_text()) for name in NAMES}


def listed(farm: Farm, job: str) -> Any:
    return json.loads(farm.project.inv("remote-ps", "--json", job).out)["jobs"][0]


def test_a_lost_job_has_ended_wherever_its_code_went(farm: Farm, tmp_path: Path) -> None:
    job, pids = scattered(farm, tmp_path)
    # The kernel does this, before anybody looks.
    until(lambda: not processes.started(pids["first"]))
    found = listed(farm, job)
    assert not [name for name, pid in pids.items() if processes.started(pid)]
    assert found["state"] == "lost"
    assert found["cause"] == "its worker is gone; what its code left running was ended"


def test_a_stop_ends_the_code_of_a_job_without_a_worker(farm: Farm, tmp_path: Path) -> None:
    job, pids = scattered(farm, tmp_path)
    stopped = farm.project.inv("remote-stop", job)
    assert not [name for name, pid in pids.items() if processes.started(pid)]
    assert "what its code left running was ended" in stopped.out


def test_a_job_whose_tmux_was_killed_was_not_stopped_by_its_user(
    farm: Farm, tmp_path: Path
) -> None:
    ready, marker = tmp_path / "ready", tmp_path / "ended"
    trap = f"trap 'touch {marker}; exit 1' TERM; touch {ready}"
    job = farm.submit(f"{trap}; while :; do sleep 0.1; done")
    until(ready.exists)
    subprocess.run(["tmux", "-L", farm.socket, "kill-server"], check=True)
    farm.until(job, "failed")
    found = listed(farm, job)
    assert (found["state"], found["exit_code"]) == ("failed", 129)
    assert found["cause"] == "tmux ended its session (SIGHUP), as tmux kill-server does"
    # Its code was asked, and the next job has a server again.
    assert marker.exists()
    assert farm.until(farm.submit("true"), "finished")
