"""What was pulled from a target before it got another name: it was moved, or is spelled otherwise."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from remote.errors import ConfigError, TargetError
from remote.job.messages.target import OURS, PrepareRequest
from remote.operations.tracking.destination import Destination
from remote.session import TargetSession, project_id
from remote.target import Target
from remote.tracking.merge import base as bases


def adopt_bases(server: TargetSession, to: Destination, delta: Path, root: str) -> bool:
    """Have the bases of the same store be those of this target from now on; whether there are any.

    The store is the same where its experiments are. A copy goes its own way: it is no move as long
    as the other target is where it was. `root` is where this one is.
    """
    folder = server.project.state / "targets"
    for base in sorted(folder.glob("*.base.db")):
        key = base.name.partition(".")[0]
        if base == to.base(key) and bases.is_of(base, delta):
            former = _former(server, bases.source_name(base), root)
            if former:
                # Its own comes last: as long as that is not here, all this is done again.
                for other in [*sorted(folder.glob(f"{key}.*.base.db")), base]:
                    name = server.key + other.name[len(key) :]
                    source = bases.source_name(other)
                    if source == former or source.startswith(f"{former}/"):
                        source = f"{server.source}{source[len(former):]}"
                    bases.rename(other, folder / name, source=source)
                return True
    return False


def _former(server: TargetSession, source: str, root: str) -> str:
    """`source` again, where that was the name of this target; else nothing."""
    with suppress(ConfigError, TargetError):
        target, project = Target.parse(source), project_id(server.project)
        if target.login == server.target.login:
            request = PrepareRequest(path=target.path, key=target.key, project=project, look=True)
            answer = server.agent.call(request)
            if answer.state != OURS or answer.root == root:
                return source
    return ""
