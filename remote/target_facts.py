"""What a project knows of its targets: a file for each place, however that is spelled."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from remote.errors import ProtocolError
from remote.job.fields import MANY, NAME, flag, integer, mapping_of, names, optional, text
from remote.job.struct import Struct
from remote.target import Target
from remote.transport.ssh import Ssh

_KEY = re.compile("[0-9a-f]{16}")


class TargetFacts(Struct):
    """`targets/<key>.json`: what this project knows of a target."""

    ours: bool = flag(default=False)
    """Whether this project pushed there before."""
    noisy: bool = flag(default=False)
    """Whether the login shell prints where it should not."""
    pushed: int = integer(0, 1 << 63, default=0)
    """When the last push began, in nanoseconds by the clock of the project's file system."""
    near: bool = flag(default=False)
    """Whether a look at the project spares nothing: rsync found within an instant that there was
    nothing to send, or had more to go through than is looked at."""
    cut: bool = flag(default=False)
    """Whether a push was begun since, and has not ended well."""
    placed_links: Mapping[str, str] = mapping_of(text(NAME), MANY, default={})
    """Those that its settings' `links` had made there last."""
    links: tuple[str, ...] | None = optional(names(), default=None)
    """Those that pushes have sent; None where that isn't known."""
    undecided: tuple[str, ...] | None = optional(names(), default=None)
    """Files that may be secrets, and that pushes hold back; None before the first push."""
    spelling: str = text(NAME, default="")
    """The target as it was spelled first."""
    login: str = text(NAME, default="")
    """Where that leads by the user's own ssh configuration; empty where ssh didn't tell."""
    root: str = text(NAME, default="")
    """The folder, as its server says."""
    same: str = text(16, _KEY, default="")
    """The key of the same place, as it was spelled first; nothing else is known here then."""


class KnownTargets:
    """The files about targets in a project's folder of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, key: str) -> Path:
        """Where what is known of the target of that key is kept."""
        return self.folder / f"{key}.json"

    def read(self, key: str) -> TargetFacts | None:
        """None where nothing is known. They only spare questions: what can't be read is asked again."""
        with contextlib.suppress(ProtocolError):
            return TargetFacts.from_file(self.file(key))
        return TargetFacts()

    def key_of(self, target: Target, ssh: Ssh | None) -> str:
        """The key of the place: that of its first spelling, where this one is new.

        One by which something was pulled or pushed before keeps what is kept under it.
        """
        facts = self.read(target.key)
        if facts is not None:
            return facts.same or target.key
        others = [*self._others(target.key)]
        login = login_of(ssh) if others else ""
        for key, other in others:
            if self._is_place(other, target, login):
                self.note_same(target.key, key)
                return key
        return target.key

    def key_at(self, own: str, login: str, root: str) -> str:
        """The key of another spelling that leads to `root` of the same server; else `own`."""
        for key, other in self._others(own):
            if login and (other.login, other.root) == (login, root):
                return key
        return own

    def note_same(self, key: str, first: str) -> None:
        """Have a spelling be another one of the place with the key `first`."""
        TargetFacts(same=first).to_file(self.file(key))

    def has_history(self, key: str) -> bool:
        """Whether something was pulled by that key."""
        return any(self.folder.glob(f"{key}.*base.db"))

    def _others(self, key: str) -> Iterator[tuple[str, TargetFacts]]:
        for file in sorted(self.folder.glob("*.json")):
            facts = self.read(file.stem) if _KEY.fullmatch(file.stem) else None
            if facts and file.stem != key and not facts.same and facts.spelling:
                yield file.stem, facts

    def _is_place(self, other: TargetFacts, target: Target, login: str) -> bool:
        spelled = Target.parse(other.spelling)
        if target.is_local or spelled.is_local:
            return (
                target.is_local
                and spelled.is_local
                and os.path.realpath(target.path) == os.path.realpath(spelled.path)
            )
        return bool(login) and other.login == login and target.path in (spelled.path, other.root)


def login_of(ssh: Ssh | None) -> str:
    """Where a login leads; empty for this machine."""
    return ssh.resolved() if ssh else ""
