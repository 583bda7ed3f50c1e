"""A project's target, reached: the wire to it, the agent on it, and what is known of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.config import Project
from remote.files import read_json, write_atomic, write_json
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire, SshWire
from remote.target import Target
from remote.transport.rsync_args import Remote
from remote.transport.ssh import Ssh


@dataclass
class Server:
    """The target of a project, with the agent there.

    `facts` is what earlier contacts told: `ours` (this project pushed there before), `root` (the
    absolute path there), `noisy` (the login shell prints where it should not).
    """

    project: Project
    target: Target
    ssh: Ssh | None
    agent: Agent
    facts: dict[str, Any]

    @classmethod
    def of(cls, project: Project, target: Target) -> Server:
        """The server of `target`; nothing is connected yet."""
        ssh = None
        if not target.is_local:
            ssh = Ssh.to(target, project.settings.get("REMOTE_SSH_CONFIG", ""))
        agent = Agent(SshWire(ssh) if ssh else LocalWire())
        facts = read_json(_facts_file(project, target)) or {}
        return cls(project, target, ssh, agent, facts)

    @property
    def remote(self) -> Remote:
        """The target as rsync's other end."""
        return Remote(self.target, self.ssh, self.target.key, bool(self.facts.get("noisy")))

    @property
    def socket(self) -> str:
        """The name of the tmux server that holds the jobs."""
        return self.project.settings.get("REMOTE_TMUX_SOCKET", "remote")

    @property
    def pulled(self) -> Path:
        """The ids of the ended jobs of which the last pull brought everything, as JSON."""
        return self.project.state / "targets" / f"{self.target.key}.pulled.json"

    def connect(self) -> None:
        """Log in, unless that was done already; raises ConnectError."""
        self.agent.wire.connect()

    def prepare(self, *, take_over: bool = False, look: bool = False) -> dict[str, Any]:
        """Have the agent make the target ready; what it says is remembered."""
        answer = self.agent.call(
            "prepare",
            path=self.target.path,
            key=self.target.key,
            project=project_id(self.project),
            take_over=take_over,
            look=look,
        )
        self.facts = {
            "target": str(self.target),
            "root": answer["root"],
            "ours": answer["state"] == "ours",
            "noisy": bool(self.agent.noisy),
        }
        self._write_facts()
        return answer

    def remember(self, *, files: int) -> None:
        """Write down how many files the project has, for the next push."""
        if files != self.facts.get("files"):
            self.facts["files"] = files
            self._write_facts()

    def _write_facts(self) -> None:
        file = _facts_file(self.project, self.target)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, self.facts)

    def call(self, verb: str, **request: Any) -> dict[str, Any]:
        """Ask the agent something about this target."""
        return self.agent.call(verb, key=self.target.key, **request)


def project_id(project: Project) -> str:
    """A number of this copy of the project; a target remembers who pushed to it."""
    file = project.state / "id"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, secrets.token_hex(16).encode())
    return file.read_text().strip()


def _facts_file(project: Project, target: Target) -> Path:
    return project.state / "targets" / f"{target.key}.json"
