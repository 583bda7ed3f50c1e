"""What is asked of a job at work: its log as it grows, the terminal of its worker, its end."""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from pathlib import Path
from typing import Callable, List, Optional

from remote import files
from remote.agent import launchers
from remote.agent.job_folders import find, job_of, live, read_status
from remote.agent.job_state import end_gone, state_of
from remote.agent.jobs.log_tail import pieces, tail
from remote.agent.launchers import Launch
from remote.agent.target_dir import root_of
from remote.agent.worker import NOTE
from remote.errors import JobError
from remote.files import is_absent
from remote.job.kinds import SHELL, kind_of
from remote.job.messages import jobs as messages
from remote.job.paths import JobPaths
from remote.job.status import ENDED, SOCKET, STOPPED, UNKNOWN, JobStatus, Serving

#: Seconds between two looks at the log, and between two signs of life to the client.
LOOK = 0.05
HEARTBEAT = 10.0

#: Seconds for which nobody may be able to tell whether a job goes on before that is told.
UNREADABLE = 10.0

#: Seconds that a job may take to end before it is killed.
PATIENCE = 20.0

#: Seconds that its worker may take to be gone when it was killed.
KILLED = 10.0

#: What terminals that are younger than a server's terminfo (Ghostty, kitty) can be taken for.
TERMINAL = "xterm-256color"


def follow(
    request: messages.LogRequest, *, send: Callable[[messages.LogAnswer], None]
) -> messages.LogAnswer:
    """Send the log as it grows; the last answer holds the job's status.

    Each holds the offset that it reached, from which a broken connection goes on.
    """
    paths = find(root_of(request.key), request.job)
    # Of a job that is still to begin; without room for it, there is nothing to show yet.
    with contextlib.suppress(OSError):
        paths.log.touch()
    is_silent = request.silent or is_absent(paths.log)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last_sent = time.monotonic()
    doubt = _Doubt(paths)
    with open(os.devnull if is_silent else str(paths.log), "rb") as file:
        start, end = request.offset, file.seek(0, 2)
        if request.most:
            start = max(start, end - request.most)
        if request.since:
            start = max(start, _offset_at(paths, time.time() - request.since))
        parts = tail(file, request.tail) if request.tail else [(start, max(start, end))]
        # Where both are asked for, whichever shows less.
        log = pieces(file, [(max(start, begin), end) for begin, end in parts])
        while True:
            status = state_of(paths)
            piece = next(log)
            text = decoder.decode(piece)
            # A letter of several bytes of which some are still to come was not sent.
            offset = file.tell() - len(decoder.getstate()[0])
            if piece or time.monotonic() - last_sent > HEARTBEAT:
                send(messages.LogAnswer(id=paths.id, text=text, offset=offset))
                last_sent = time.monotonic()
            if request.wait:
                doubt.look(status)
            has_ended = status.state in ENDED
            # A job may write faster than it is read.
            is_read = not piece or file.tell() >= end and not has_ended
            if is_read and (has_ended or not request.wait):
                return messages.LogAnswer(id=paths.id, offset=offset, status=status)
            if not piece:
                time.sleep(LOOK)


class _Doubt:
    """What stands in the way of telling whether a job that somebody waits for goes on."""

    def __init__(self, paths: JobPaths) -> None:
        self._paths, self._is_told = paths, False
        self._since: Optional[float] = None

    def look(self, status: JobStatus) -> None:
        """Tell of it, once it has lasted; raises JobError where no worker lives that could end it."""
        # The status of a job whose worker nobody can tell of has a cause; `state_of` has just asked.
        if status.state in ENDED or (status.state != UNKNOWN and not status.cause):
            self._since = None
            return
        launched = launchers.read(self._paths, status.worker)
        alive = launched.alive() if launched else False
        if status.state != UNKNOWN and alive is not None:
            self._since = None
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since < UNREADABLE:
            return
        if alive is False:
            raise JobError(
                f"How {self._paths.id} ended is unknown: {status.cause}",
                f"Look at it on the server: ls -l {self._paths.folder}",
            )
        if not self._is_told:
            files.on_wait(f"Whether {self._paths.id} goes on is unknown: {status.cause}")
            self._is_told = True


def _offset_at(paths: JobPaths, moment: float) -> int:
    """How long the log was at that moment (seconds since 1970), or a little before."""
    try:
        notes = paths.times.read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    for note in notes:
        # A machine that went down may have left half of one.
        with contextlib.suppress(ValueError):
            written, size = note.split()
            # What follows a note was written within NOTE seconds, or the next note would tell of it.
            if float(written) > moment - NOTE:
                return int(size)
    return paths.log.stat().st_size


def attach(request: messages.AttachRequest) -> messages.AttachAnswer:
    """As the job's launcher has it; raises JobError where there is no such terminal."""
    paths = find(root_of(request.key), request.job)
    job, status = job_of(paths), state_of(paths)
    if status.state in ENDED:
        raise JobError(
            f"{paths.id} has ended: {status.state}.", f"Its log: inv remote-logs {paths.id}"
        )
    if job and job.interpreter:
        raise JobError(
            f"{paths.id} runs in a terminal of the server itself, which is no session.",
            f"What it prints: inv remote-logs {paths.id}",
        )
    launched = _launch(paths, status)
    argv = _own_terminal(paths, launched) if job and job.service == SHELL else []
    if not argv:
        argv = launched.row.attach(launched.handle, paths.id)
    if request.terminal and not _is_known(request.terminal):
        argv = ["env", f"TERM={TERMINAL}", *argv]
    return messages.AttachAnswer(paths.id, tuple(argv))


def _own_terminal(paths: JobPaths, launched: Launch) -> List[str]:
    """The command that shows the terminal which a job serves; none as long as it isn't there."""
    serving = Serving.from_file(paths.serving)
    if serving is None:
        return []
    socket = Path(serving.folder) / SOCKET
    if not (paths.address if launched.is_elsewhere else socket).exists():
        return []
    beside = launched.row.beside(launched.handle, paths.id, terminal=True)
    return [*beside, "tmux", "-S", str(socket), "attach-session", "-t", f"={paths.id}"]


def _is_known(terminal: str) -> bool:
    """Whether this machine's terminfo has it. Where that can't be asked, ncurses will say so."""
    try:
        import curses
    except ImportError:
        return True
    try:
        curses.setupterm(terminal, 1)
    except curses.error:
        return False
    return True


def _launch(paths: JobPaths, status: JobStatus) -> Launch:
    launched = launchers.read(paths, status.worker)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    return launched


def stop(request: messages.StopRequest) -> messages.StopAnswer:
    """Ask the workers to end their jobs, all at once; then see to it that each has ended.

    Where nothing is named it is the one job that goes on; raises JobError where there are several.
    """
    root = root_of(request.key)
    if request.all:
        # A service that nobody named goes on.
        chosen = [paths for paths in _going(root) if not _serves(paths)]
    else:
        chosen = [find(root, name) for name in request.jobs] or [_only(root)]
    once = {paths.id: paths for paths in chosen}.values()
    found = [(paths, state_of(paths)) for paths in once]
    asked = [(paths, status, _ask_to_end(paths, status)) for paths, status in found]
    deadline = time.monotonic() + PATIENCE
    return messages.StopAnswer(tuple(_await_end(*each, deadline) for each in asked))


def _ask_to_end(paths: JobPaths, status: JobStatus) -> Optional[Launch]:
    """Who is asked; None where there is nobody to ask, since it has ended or is just starting."""
    launched = None if status.state in ENDED else launchers.read(paths, status.worker)
    if launched:
        # By this the worker knows that the signal is its user's; on a full disk it may not.
        with contextlib.suppress(OSError):
            paths.stop.touch()
        launched.row.stop(launched.handle)
    return launched


def _await_end(
    paths: JobPaths, before: JobStatus, launched: Optional[Launch], deadline: float
) -> messages.StoppedJob:
    """Kill the worker where it hasn't ended its job in time, and write the job's end where it didn't."""
    if launched is None:
        ended, starting = before.state in ENDED, "it is just starting: try again in a few seconds"
        return messages.StoppedJob(paths.id, before, ended, "" if ended else starting)
    alive, status = _alive_at(launched, deadline), read_status(paths)
    # One that has written its job's end may have more to do: notify, or Slurm's epilog.
    if status.state in ENDED:
        return messages.StoppedJob(paths.id, status)
    if alive is None:
        problem = "it was asked to end; whether it did is unknown"
        return messages.StoppedJob(paths.id, status, problem=problem)
    if alive:
        launched.row.kill(launched.handle)
        if _alive_at(launched, time.monotonic() + KILLED) is not False:
            # Once it has ended, whoever looks writes that down.
            problem = "it was to be killed, and goes on: is it another user's?"
            return messages.StoppedJob(paths.id, status, problem=problem)
    status = end_gone(paths, state=STOPPED, cause="killed" if alive else "stopped")
    problem = "" if status.state in ENDED else f"it is {status.in_words}"
    return messages.StoppedJob(paths.id, status, problem=problem)


def _alive_at(launched: Launch, deadline: float) -> Optional[bool]:
    """Whether a worker lives that has until then to end."""
    while launched.alive() is not False and time.monotonic() < deadline:
        time.sleep(0.05)
    return launched.alive()


def _going(root: Path) -> List[JobPaths]:
    return [paths for paths in live(root) if state_of(paths).state not in ENDED]


def _serves(paths: JobPaths) -> bool:
    job = job_of(paths)
    return job is not None and kind_of(job).serves


def _only(root: Path) -> JobPaths:
    """The one job that goes on; a service is meant only where nothing else does."""
    going = _going(root)
    going = [paths for paths in going if not _serves(paths)] or going
    if len(going) == 1:
        return going[0]
    if not going:
        raise JobError(
            "No job is running on this target.", "inv remote-ps lists those that have ended."
        )
    names = " ".join(paths.id for paths in going[-5:]) + (" ..." if len(going) > 5 else "")
    raise JobError(f"{len(going)} jobs are running: name one, or --all.", names)
