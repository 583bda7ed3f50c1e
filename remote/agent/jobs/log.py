"""What a user sees of a job at work: its log as it grows, and the terminal of its worker."""

from __future__ import annotations

import codecs
import os
import time
from typing import IO, Callable, List

from remote.agent.job_folders.find_jobs import find, job_of
from remote.agent.job_folders.liveness import launch_of, state_of
from remote.agent.target_dir import root_of
from remote.agent.worker.terminal_log import NOTE
from remote.errors import JobError
from remote.job.messages.live_job import AttachAnswer, AttachRequest, LogAnswer, LogRequest
from remote.job.paths import JobPaths
from remote.job.state import ENDED

#: Seconds between two looks at the log, and between two signs of life to the client.
LOOK = 0.05
HEARTBEAT = 10.0
BLOCK = 1 << 16


def follow(request: LogRequest, *, send: Callable[[LogAnswer], None]) -> LogAnswer:
    """Send the log as it grows; the last answer holds the job's status.

    Each holds the offset that it reached, from which a broken connection goes on.
    """
    paths = find(root_of(request.key), request.job)
    paths.log.touch()
    with open(os.devnull if request.silent else str(paths.log), "rb") as file:
        file.seek(_start(paths, file, request))
        return _send_growth(file, send, paths, request.wait)


def _send_growth(
    file: IO[bytes], send: Callable[[LogAnswer], None], paths: JobPaths, wait: bool
) -> LogAnswer:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last_sent = time.monotonic()

    def reached() -> int:
        # A letter of several bytes of which some are still to come was not sent.
        return file.tell() - len(decoder.getstate()[0])

    while True:
        status = state_of(paths)
        piece = file.read(BLOCK)
        if piece or time.monotonic() - last_sent > HEARTBEAT:
            text = decoder.decode(piece)
            send(LogAnswer(id=paths.id, text=text, offset=reached()))
            last_sent = time.monotonic()
        if not piece and (status.state in ENDED or not wait):
            return LogAnswer(id=paths.id, offset=reached(), status=status)
        if not piece:
            time.sleep(LOOK)


def _start(paths: JobPaths, file: IO[bytes], request: LogRequest) -> int:
    offset = request.offset
    if request.since:
        offset = max(offset, _offset_at(paths, time.time() - request.since))
    return max(offset, _tail_offset(file, request.tail)) if request.tail else offset


def _offset_at(paths: JobPaths, moment: float) -> int:
    """How long the log was at that moment (seconds since 1970), or a little before."""
    try:
        notes = [line.split() for line in paths.times.read_text().splitlines()]
    except OSError:
        return 0
    # What follows a note was written within NOTE seconds, or the next note would tell of it.
    after = (int(size) for written, size in notes if float(written) > moment - NOTE)
    return next(after, paths.log.stat().st_size)


def _tail_offset(file: IO[bytes], lines: int) -> int:
    """Where the last `lines` lines begin."""
    end = position = file.seek(0, 2)
    held: List[bytes] = []
    while position and b"".join(held).count(b"\n") <= lines:
        step = min(BLOCK, position)
        position = file.seek(position - step)
        held.insert(0, file.read(step))
    text = b"".join(held)
    wanted = b"\n".join(text.rstrip(b"\n").split(b"\n")[-lines:])
    ending = len(text) - len(text.rstrip(b"\n"))
    return end - len(wanted) - ending


def attach(request: AttachRequest) -> AttachAnswer:
    """As the job's launcher has it; raises JobError where there is no such terminal."""
    paths = find(root_of(request.key), request.job)
    job, status = job_of(paths), state_of(paths)
    if status.state in ENDED:
        raise JobError(f"{paths.id} has ended: {status.state}.", f"inv remote-logs {paths.id}")
    if job and job.interpreter:
        raise JobError(f"{paths.id} runs in a terminal of that machine, which is no session.")
    launched = launch_of(paths, status)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    return AttachAnswer(paths.id, tuple(launched.attach(paths.id)))
