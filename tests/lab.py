"""Three servers: two on loopback that answer, and one that is reached and says nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.target import Target
from scripts.sshd import PrivateSshd, running
from tests.fakegpu import FakeGpus

#: The hosts that answer, and the one that doesn't.
NAMES, DEAD = ("one", "two"), "dead"
HOSTS = (*NAMES, DEAD)


@dataclass
class Lab:
    """The servers, and an ssh_config that knows all three."""

    folder: Path
    servers: Mapping[str, PrivateSshd]
    gpus: Mapping[str, FakeGpus]
    config: Path

    def project(self, root: Path, tables: str = "", **settings: str) -> Project:
        """A project whose targets are named like the hosts, in a folder called like the test's."""
        root.mkdir(parents=True, exist_ok=True)
        dirs = "".join(f"{name} = {json.dumps(f'{name}:{root.parent.name}')}\n" for name in HOSTS)
        groups = '[tool.remote.groups]\nlab = ["one", "two"]\n'
        text = f"[tool.remote.targets]\n{dirs}{groups}{tables}"
        (root / "pyproject.toml").write_text(text)
        return Project(root, {"REMOTE_SSH_CONFIG": str(self.config), **settings})

    def end_tmux(self, socket: str) -> None:
        """End what jobs run in."""
        for server in self.servers.values():
            env = {**os.environ, **server.settings}
            subprocess.run(["tmux", "-L", socket, "kill-server"], env=env, capture_output=True)

    def root(self, name: str, project: Project) -> Path:
        """Where one of the targets lies, seen from this machine."""
        return self.servers[name].home / Target.parse(project.tool.targets[name].dir).path


@contextmanager
def lab_in(folder: Path, *, gpus: int = 2, **settings: str) -> Iterator[Lab]:
    """The three servers, started, below a folder."""
    fakes, servers, texts = {}, {}, []
    for number, name in enumerate(NAMES):
        fakes[name] = FakeGpus(folder / name / "gpus", count=gpus)
        for index in range(gpus):
            # Leases are known by them, over all of this machine.
            fakes[name].card(index, uuid=f"GPU-{number:08x}-1111-4222-8333-{index:012x}")
        path = f"{fakes[name].bin}:/usr/local/bin:/usr/bin:/bin"
        home = folder / name / "home"
        # A tmux server of its own, as another machine has.
        own = {**settings, "TMUX_TMPDIR": str(folder / name)}
        server = PrivateSshd(folder / name, home, path=path, settings=own)
        servers[name] = server
    with running(servers["one"]), running(servers["two"]):
        for name, server in servers.items():
            texts.append(server.config.read_text().replace("gpu", name))
        # No port: ssh once found another server's sshd on one that a silent socket had.
        texts.append(f"Host {DEAD}\n  ProxyCommand sed d\n  BatchMode yes\n")
        config = folder / "ssh_config"
        config.write_text("".join(texts))
        yield Lab(folder, servers, fakes, config)
