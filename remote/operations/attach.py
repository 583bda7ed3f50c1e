"""How to show the terminal of a job's worker in a terminal here."""

from __future__ import annotations

from collections.abc import Sequence

from remote.job.messages.live_job import AttachRequest
from remote.session import TargetSession
from remote.transport.ssh import Ssh


def attach_argv(server: TargetSession, job: str) -> list[str]:
    """argv that shows it, as the server says; raises JobError where the job has none."""
    argv = server.agent.call(AttachRequest(key=server.key, job=job)).argv
    return list(argv) if server.ssh is None else over_ssh(server.ssh, argv)


def over_ssh(ssh: Ssh, argv: Sequence[str]) -> list[str]:
    """argv that runs the words there, with a terminal. Each is plain: the message's class says so.

    Inside quotes all login shells read such words alike; csh takes a leading `=` for its own else.
    """
    command = " ".join(f"'{word}'" for word in argv)
    # ssh obeys the first setting of a name that it finds.
    return ["ssh", "-o", "RequestTTY=force", *ssh.command(command)[1:]]
