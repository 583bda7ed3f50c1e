"""A shell of the target, or a command in its place, in this terminal."""

from __future__ import annotations

from remote.errors import JobError
from remote.job.messages.services import ServiceRequest
from remote.job.status import JobStatus
from remote.operations.jobs.follow import attach, follow_log, show_terminal
from remote.operations.jobs.run_options import ShellOptions
from remote.operations.services import SHELL, ServiceEnded, find_or_start, wait
from remote.output import print_lines, say
from remote.session import TargetSession

#: Lines that are shown of what a command has left in its terminal, which is gone with it.
TAIL = 50


def open_shell(
    server: TargetSession, options: ShellOptions, words: tuple[str, ...]
) -> tuple[str, JobStatus | None]:
    """Find or start it, and go to it; its job, and the status of a command that has ended."""
    job = find_or_start(server, SHELL, options, words)
    if not job:
        return "", None
    try:
        wait(server, SHELL, job)
    except ServiceEnded:
        if not words:
            raise
        return _ended(server, job)
    if options.background:
        print_lines(job)
        say("open: inv remote-shell", "stop: inv remote-shell --stop")
        return job, None
    say("Ctrl-B D leaves it running; inv remote-shell returns to it.")
    return _go_to(server, job)


def _go_to(server: TargetSession, job: str) -> tuple[str, JobStatus | None]:
    request = ServiceRequest(key=server.key, job=job)
    running = server.agent.call(request).job
    if running is None or not running.arguments:
        attach(server, job)
    try:
        show_terminal(server, job)
    except JobError:
        if server.agent.call(request).address:
            raise
    return _ended(server, job) if not server.agent.call(request).address else (job, None)


def _ended(server: TargetSession, job: str) -> tuple[str, JobStatus]:
    ended = follow_log(server, job, wait=True, tail=TAIL)
    say(f"Its whole log: inv remote-logs {job}")
    return ended
