"""Running rsync: its progress is shown, its lines are counted, its failures explained."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from remote.errors import TransferError
from remote.job.tree import PushStamp
from remote.output import Progress, say
from remote.transport import process, rsync_tally, tree_lock
from remote.transport.process import Result
from remote.transport.rsync_args import NAME_HIDDEN, Remote
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_problems import IN_THE_WAY, LONGEST, SOME, Problem, problems_of
from remote.transport.rsync_tally import Tally

#: rsyncs that run at the same time: a server takes ten sessions of a login (sshd_config(5),
#: MaxSessions).
AT_ONCE = 4

#: rsync's exit codes (rsync(1)) that leave nothing to mend: 24 is "files vanished meanwhile".
FINE = (0, 24)

#: What is said where the server didn't start rsync. (The first that rsync says to the other end is
#: the version of its protocol, in four bytes.)
_NEVER_STARTED = (
    r"is your shell clean|unexpectedly closed \(0 bytes|not found|Unknown command"
    r"|No such file or directory|can't cd|unexpected end of file"
    r"|failed to write 4 bytes to socket.{0,200}?Broken pipe"
)

#: What a server's rsync says that is too old to name what it leaves out.
_OLD = re.compile(r"debug.*unknown option|(unrecognized|invalid|unknown) option.*debug")
#: rsync's exit codes where it can't enter the folder that a list of files counts from: on this
#: machine, and where the other end ended for it.
NO_SOURCE = (3, 12)

#: What the sender says where the one thing that it was asked for doesn't exist.
_ABSENT = re.compile(r"(change_dir|link_stat) .{0,5000}?No such file or directory")

#: Bytes of names and messages from one transfer: millions of files.
LONGEST_OUTPUT = 1 << 30

GOES_ON = "Try again: it continues from there."


class Unready(TransferError):
    """The server did not start rsync: the target has to be prepared (again)."""


class Busy(Exception):
    """Another holds the lock on the target's tree; `stamp` is that of the last push."""

    def __init__(self, stamp: PushStamp | None) -> None:
        super().__init__()
        self.stamp = stamp


class FullDisk(TransferError):
    """There is no room where rsync writes."""


class Absent(TransferError):
    """The folder to bring doesn't exist."""


class SomeFailed(TransferError):
    """All was moved but these paths."""

    def __init__(self, problems: list[Problem]) -> None:
        more = f" ({len(problems) - 1} more like it)" if len(problems) > 1 else ""
        super().__init__(f"rsync could not move all{more}: {problems[0].text}")
        self.problems = problems


def run(
    argv: Sequence[str],
    remote: Remote,
    *,
    cwd: Path,
    title: str,
    watch: Callable[[Tally], None] | None = None,
    prefix: Sequence[str] = (),
    partly: bool = False,
    whole: bool = False,
) -> Tally:
    """Run one transfer; raises Unready, Busy, Absent, ConnectError or TransferError.

    `watch` is shown what was named so far, and ends the transfer by raising. `prefix` are the words
    of a program that becomes rsync. Where it has to be `whole`, no file may vanish meanwhile; where
    `partly`, paths that can't be moved are no error, and the tally names them.
    """
    tally, unfinished, output = Tally(), b"", 0

    def read(piece: bytes) -> None:
        nonlocal unfinished, output
        output += len(piece)
        if output > LONGEST_OUTPUT:
            raise TransferError(
                f"rsync with {remote.target} was stopped: it lists names without end."
            )
        # A progress line ends with a carriage return.
        *lines, unfinished = re.split(rb"[\r\n]", unfinished + piece)
        # No path is that long.
        unfinished = unfinished[:LONGEST]
        for line in lines:
            text = line.decode("utf-8", "surrogateescape")
            if not (progress.shown and progress.read_rsync(text)):
                tally.read(text)
        if tally.sent:
            # An rsync that tells no progress (macOS) tells at least which files went.
            progress.count(len(tally.sent))
            if watch:
                watch(tally)

    with Progress(title) as progress:
        shown = dialect().only("--info=progress2") if progress.shown else []
        words = [*prefix, argv[0], *shown, *argv[1:]]
        result = _feed(words, read, remote, cwd)
        if result.code and set(words) & set(NAME_HIDDEN) and _OLD.search(result.stderr):
            words = [word for word in words if word not in NAME_HIDDEN]
            result = _feed(words, read, remote, cwd)
    if result.code not in (FINE if not whole else (0,)):
        is_pull = not argv[-1].startswith(remote.place())
        folder = argv[-1].removeprefix("./" if is_pull else remote.place())
        error = failure(result, remote, is_pull=is_pull, cwd=cwd, folder=folder)
        if not (partly and isinstance(error, SomeFailed)):
            raise error
        tally.problems = error.problems
    if tree_lock.is_unlocked(result.stderr):
        say(
            f"The file system of {remote.target} has no locks: a push at the same time"
            " can change what a job is about to run."
        )
    for line in result.stderr.splitlines():
        # openrsync tells there what it deleted.
        if line.startswith("*deleting"):
            tally.read(line)
    return tally


def _feed(words: Sequence[str], read: Callable[[bytes], None], remote: Remote, cwd: Path) -> Result:
    try:
        # Names that are no text are names, too.
        return process.feed(words, read, cwd=cwd, works=remote.works, lossless=True)
    except process.TooMuch:
        if remote.ssh:
            remote.ssh.close()
        raise


def run_clearing(run: Callable[[], Tally], clear: Callable[[Sequence[str]], object]) -> Tally:
    """What `run` moves; where something stands in the way, `clear` gets its paths, and once more."""
    tally = run()
    obstacles = [problem.path for problem in tally.problems if problem.kind == IN_THE_WAY]
    if not obstacles:
        return tally
    clear(obstacles)
    rest = tally.then(run())
    rest.cleared += sorted(set(obstacles) - {problem.path for problem in rest.problems})
    return rest


def failure(
    result: Result, remote: Remote, *, is_pull: bool = False, cwd: Path = Path(), folder: str = ""
) -> Exception:
    """The error that rsync's exit code (rsync(1)) and its words mean.

    rsync ran in `cwd`, and wrote to `folder` below that, or below the target.
    """
    code, words = result.code, result.stderr
    # Only who receives needs room.
    receiver = "this machine" if is_pull else str(remote.target)
    complaint = rsync_tally.complaint(words.strip().splitlines())
    if tree_lock.is_busy(words):
        return Busy(PushStamp.find(words))
    if tree_lock.is_anothers(words):
        return Unready("Somebody else has pushed to it.")
    if code == 255 and remote.ssh:
        error = remote.ssh.broken(words)
        return type(error)(error.message, error.hint or GOES_ON)
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return FullDisk(
            f"The disk of {receiver} is full (or your quota is).",
            f"Existing files are unchanged. Make room on {receiver}, then repeat the command.",
        )
    if (code == SOME or code in NO_SOURCE and is_pull) and _ABSENT.search(words):
        return Absent(complaint)
    if code in (1, 2, 12, 126, 127) and re.search(_NEVER_STARTED, words):
        return Unready(complaint)
    if code == SOME:
        problems = problems_of(
            words,
            is_pull=is_pull,
            target=str(remote.target),
            root=os.path.realpath(cwd),
            folder=folder,
        )
        if problems:
            return SomeFailed(problems)
    if code == 11:
        # Of a write that failed there, rsync often brings the code and not the words.
        return FullDisk(
            f"A file could not be written on {receiver}: its disk is full, or your quota.",
            f"Check it with df -h. Existing files are unchanged. (rsync said: {complaint})",
        )
    if code in (10, 12, 30, 35):
        return TransferError(
            f"The connection to {remote.target} broke: {complaint}",
            GOES_ON,
        )
    return TransferError(f"rsync failed with {remote.target} (exit {code}): {complaint}", GOES_ON)
