"""A job's log, sent as it grows."""

from __future__ import annotations

import codecs
import os
import time
from typing import IO, Any, Callable, Dict, List, Tuple

from remote.agent.jobs.lifecycle import find, state_of
from remote.agent.target_dir import root_of
from remote.agent.worker.terminal_log import NOTE
from remote.job.paths import JobPaths
from remote.job.state import ENDED

#: Seconds between two looks at the log, and between two signs of life to the client.
LOOK = 0.05
HEARTBEAT = 10.0
BLOCK = 1 << 16


def follow(
    *,
    send: Callable[[Dict[str, Any]], None],
    key: str,
    job: str,
    offset: int,
    wait: bool,
    tail: int = 0,
    since: float = 0.0,
    silent: bool = False,
) -> Dict[str, Any]:
    """Send the log from byte `offset` on; with `wait`, until the job has ended.

    `tail` above 0 leaves out all but that many last lines of what is there now, `since` what is
    older than so many seconds, `silent` everything. The last answer holds the job's status and
    the offset reached, from which a broken connection goes on.
    """
    paths = find(root_of(key), job)
    paths.log.touch()
    with open(os.devnull if silent else str(paths.log), "rb") as file:
        file.seek(_start(paths, file, offset, tail, since))
        status, reached = _send_growth(file, send, paths, wait)
        return {"id": paths.id, "status": status, "offset": reached}


def _send_growth(
    file: IO[bytes], send: Callable[[Dict[str, Any]], None], paths: JobPaths, wait: bool
) -> Tuple[Dict[str, Any], int]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    told = time.monotonic()

    def reached() -> int:
        # A letter of several bytes of which some are still to come was not sent.
        return file.tell() - len(decoder.getstate()[0])

    while True:
        status = state_of(paths)
        piece = file.read(BLOCK)
        if piece or time.monotonic() - told > HEARTBEAT:
            text = decoder.decode(piece)
            send({"id": paths.id, "text": text, "offset": reached()})
            told = time.monotonic()
        if not piece and (status["state"] in ENDED or not wait):
            return status, reached()
        if not piece:
            time.sleep(LOOK)


def _start(paths: JobPaths, file: IO[bytes], offset: int, tail: int, since: float) -> int:
    if since:
        offset = max(offset, _offset_at(paths, time.time() - since))
    return max(offset, _tail_offset(file, tail)) if tail else offset


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
