"""The whole loop over a link of 1 Mbit/s with 300 ms and 5 % loss, in a network of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif("config.option.rounds < 50", reason="minutes: make test-faults"),
]

LOOP = """
import random, sys
from pathlib import Path
from scripts.sshd import PrivateSshd, running
from tests.faults.kills import OUTPUTS, World, contents
from tests.faults.line import FAR, NEAR, Line

folder, uv = Path(sys.argv[1]), sys.argv[2]
server = PrivateSshd(folder / "sshd", folder / "home there", path=f"{uv}:/usr/bin:/bin")
server.listen, server.host = NEAR, FAR
line = Line(rate=1_000_000 / 8, delay=0.15, loss=0.05)
with line.up(), running(server):
    world = World(folder / "world", server, sys.argv[3])
    world.project.write("data/raw/noise.txt", random.Random(1).randbytes(150_000).hex())
    world.run("sync-push")
    there = contents(world.target, without=OUTPUTS)
    assert there["data/raw/noise.txt"] == contents(world.project.root)["data/raw/noise.txt"]
    script = "for i in 1 2 3; do echo line $i; sleep 1; done; cp data/raw/noise.txt data/results"
    followed = world.run("remote-run", "--follow", "--", "sh", "-c", script).text
    assert [line for line in followed.splitlines() if line.startswith("line")] == [
        "line 1", "line 2", "line 3"
    ], followed
    for number in range(10):
        world.record(world.target, f"{number:032x}", "note")
    pulled = world.run("sync-pull").text
    assert "11 new runs" in pulled, pulled
    results = contents(world.project.root / "data/results")
    assert results["noise.txt"] == there["data/raw/noise.txt"]
    assert "0 new runs, 0 grown, 0 artifacts" in world.run("sync-pull").text
assert line.lost > 10 and line.carried > 400, line
"""


def in_a_network_of_its_own(*argv: str) -> list[str]:
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    return [
        "unshare",
        "--net",
        *user,
        "--",
        "sh",
        "-ec",
        'ip link set lo up; exec "$@"',
        "sh",
        *argv,
    ]


def test_the_loop_takes_a_bad_line(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("unshare", "ip"))):
        pytest.skip("unshare or ip is not installed: sudo apt-get install iproute2")
    tried = in_a_network_of_its_own("ip", "tuntap", "add", "line", "mode", "tun")
    done = subprocess.run(tried, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no network of our own can be made here: {done.stderr}")
    socket = f"remote-test-{os.getpid()}-slow"
    argv = [sys.executable, "-c", LOOP, str(tmp_path), str(Path(sys.executable).parent), socket]
    try:
        done = subprocess.run(
            in_a_network_of_its_own(*argv), cwd=ROOT, capture_output=True, text=True, timeout=500
        )
    finally:
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
