"""The connection that stays open: nothing that the user's own ssh forwards goes with it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from remote.transport.ssh import Ssh

FORWARDING = """
Host gpu
  ForwardAgent yes
  ForwardX11 yes
  LocalForward 8888 127.0.0.1:8888
  RemoteForward 9999 127.0.0.1:9999
"""


@pytest.mark.parametrize("way", ["a command", "a session", "rsync", "the master"])
def test_the_users_forwardings_stay_with_the_users_ssh(tmp_path: Path, way: str) -> None:
    config = tmp_path / "config"
    config.write_text(FORWARDING)
    ssh = Ssh("gpu", str(config))
    argv = {
        "a command": ssh.command("true"),
        "a session": ssh.session(),
        "rsync": [*shlex.split(ssh.rsh()), "gpu"],
        "the master": ["ssh", *ssh.options(), "-N", "-f", "--", "gpu"],
    }[way]
    plain = _settings(["ssh", "-F", str(config), "gpu"])
    assert (plain["forwardagent"], plain["forwardx11"]) == ("yes", "yes")
    ours = _settings(argv)
    assert (ours["forwardagent"], ours["forwardx11"]) == ("no", "no")
    assert ours["clearallforwardings"] == "yes"


def _settings(argv: list[str]) -> dict[str, str]:
    """What OpenSSH makes of a command line (`ssh -G`)."""
    done = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
