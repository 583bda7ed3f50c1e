"""A project's target, reached: the wire to it, the agent on it, and what is known of it."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.config import Project
from remote.errors import ConfigError, TransferError
from remote.files import write_atomic
from remote.job.messages.target import ABSENT, OURS, PrepareAnswer, PrepareRequest
from remote.job.tree import PushStamp
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire, SshWire
from remote.target import Target
from remote.target_facts import KnownTargets, TargetFacts, login_of
from remote.target_settings import TargetSettings
from remote.transport import rsync, tree_lock
from remote.transport.rsync_args import Remote
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_tally import Tally
from remote.transport.ssh import Ssh

ID = re.compile("[0-9a-f]{32}")


@dataclass
class TargetSession:
    """The target of a project, with the agent there.

    `key` is what the target is called in requests, and in files about it, however it is spelled.
    `facts` is what earlier contacts told.
    """

    project: Project
    target: Target
    ssh: Ssh | None
    agent: Agent
    key: str
    facts: TargetFacts

    @classmethod
    def of(cls, project: Project, target: Target) -> TargetSession:
        """A session with `target`; nothing is connected yet."""
        ssh = None
        if not target.is_local:
            ssh = Ssh(target.login, project.settings.get("REMOTE_SSH_CONFIG", ""))
        agent = Agent(SshWire(ssh) if ssh else LocalWire())
        known = KnownTargets(project.state / "targets")
        key = known.key_of(target, ssh)
        return cls(project, target, ssh, agent, key, known.read(key) or TargetFacts())

    @functools.cached_property
    def settings(self) -> TargetSettings:
        """What pyproject.toml says of the target; raises ConfigError."""
        return self.project.target_settings(self.target)

    @property
    def source(self) -> str:
        """What the target is called in records: as it was spelled first."""
        return self.facts.spelling or str(self.target)

    @property
    def remote(self) -> Remote:
        """The target as rsync's other end."""
        # The whole list of files at once: else rsync asks for a thousand after the other, a round
        # trip for each.
        options = dialect().only("--no-inc-recursive") if self.ssh else []
        return Remote(self.target, self.ssh, self.key, self.facts.noisy, options)

    @property
    def socket(self) -> str:
        """The name of the tmux server that holds the jobs."""
        return self.project.settings.get("REMOTE_TMUX_SOCKET", "remote")

    @property
    def file(self) -> Path:
        """Where `facts` are kept."""
        return self._known.file(self.key)

    @property
    def _known(self) -> KnownTargets:
        return KnownTargets(self.project.state / "targets")

    @property
    def pulled(self) -> Path:
        """The ids of the ended jobs of which the last pull brought everything, as JSON."""
        return self.file.with_suffix(".pulled.json")

    def connect(self) -> None:
        """Log in, unless that was done already; raises ConnectError."""
        self.agent.wire.connect()

    def prepare(self, *, take_over: bool = False, look: bool = False) -> PrepareAnswer:
        """Have the agent make the target ready; what it says is remembered."""
        request = PrepareRequest(
            path=self.target.path,
            key=self.key,
            project=project_id(self.project),
            take_over=take_over,
            look=look,
            links=self.settings.links,
        )
        answer = self.agent.call(request)
        self._take_same_place(answer.root)
        noisy = bool(self.agent.noisy)
        self.remember(ours=answer.state == OURS, noisy=noisy, root=answer.root)
        if answer.state == OURS and not look:
            self.remember(placed_links=dict(self.settings.links))
        return answer

    def _take_same_place(self, root: str) -> None:
        """Go on by what is known of the place, where only its server could tell that it is known."""
        if self.facts.ours or self.facts.spelling or self._known.has_history(self.key):
            return
        key = self._known.key_at(self.key, login_of(self.ssh), root)
        if key != self.key:
            self._known.note_same(self.key, key)
            self.key, self.facts = key, self._known.read(key) or TargetFacts()

    def look(self) -> None:
        """Have the agent say what is wrong with a target that gives no answer."""
        if self.prepare(look=True).state == ABSENT:
            raise TransferError(f"{self.target} does not exist yet.", "Push first: make sync-push")

    def rsync(
        self,
        argv: list[str],
        title: str,
        *,
        cwd: Path | None = None,
        watch: Callable[[Tally], None] | None = None,
        push: PushStamp | None = None,
        partly: bool = False,
        whole: bool = False,
    ) -> Tally:
        """Run an rsync of this target's in the project's root, or in `cwd`; raises as `rsync.run`.

        One of a `push` to this machine takes the lock on the tree here; elsewhere its argv does.
        """
        words = list[str]()
        if push and self.target.is_local:
            words = tree_lock.local_command(Path(self.target.path), push)
        root = cwd or self.project.root
        run = functools.partial(rsync.run, argv, self.remote, cwd=root, title=title)
        return run(watch=watch, prefix=words, whole=whole, partly=partly)

    def transfer(self, run: Callable[[], Tally]) -> Tally:
        """What `run` brings or sends; where rsync does not start, the agent looks, and once more."""
        try:
            return run()
        except rsync.Unready:
            self.look()
        try:
            return run()
        except rsync.Unready as error:
            raise TransferError(
                f"rsync did not start on {self.target}: {error}",
                "Does `rsync --version` run there, from its login shell?",
            ) from None

    def remember(self, **facts: Any) -> None:
        """Write down what is new of `facts`."""
        changed = self.facts.replace(**facts)
        if changed != self.facts:
            if not changed.spelling:
                spelling, login = str(self.target), login_of(self.ssh)
                changed = changed.replace(spelling=spelling, login=login)
            self.facts = changed
            self.file.parent.mkdir(parents=True, exist_ok=True)
            changed.to_file(self.file)


def project_id(project: Project) -> str:
    """A number of this copy of the project; a target remembers who pushed to it."""
    file = project.state / "id"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, secrets.token_hex(16).encode())
    number = file.read_text("ascii", "replace").strip()
    if not ID.fullmatch(number):
        raise ConfigError(
            f"{file} is damaged: by it, targets recognise this copy of the project.",
            "Put back a copy; or remove it, and claim the target again: inv sync-push --delete",
        )
    return number
