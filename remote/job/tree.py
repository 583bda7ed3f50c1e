"""Whose push a target's tree is: one line in a file that is the tree's lock, too.

A push holds the lock alone, and writes its stamp before anything else; a snapshot is made under a
shared lock, and only where the stamp is that of the push which belongs to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from remote.files import try_lock, waiting_words
from remote.job.paths import STATE

#: Below the root of the target.
LOCK = f"{STATE}/tree.lock"

#: What all login shells take for one plain word.
_STAMP = re.compile(r"([0-9a-f]{32}):(\d{1,12}):([A-Za-z0-9_.@-]{0,200})")


#: Letters of a push's id that are those of the project's copy.
COPY = 16


class PushStamp(NamedTuple):
    """A push: its `id`, made by the laptop, when it began by the laptop's clock, and whose it is.

    One that comes `after` another sends what has changed since, and only to that one's tree.
    """

    id: str
    since: int
    who: str
    after: str = ""

    @classmethod
    def new(cls, copy: str, who: str, after: str = "") -> PushStamp:
        """The stamp of a push that begins now; `copy` is the id of the project's copy."""
        id = copy[:COPY] + os.urandom(8).hex()
        return cls(id, int(time.time()), re.sub(r"[^A-Za-z0-9_.@-]", "-", who)[:200], after)

    @classmethod
    def find(cls, text: str) -> Optional[PushStamp]:
        """The stamp that a text holds, if it holds one."""
        match = _STAMP.search(text)
        return cls(match[1], int(match[2]), match[3]) if match else None

    def __str__(self) -> str:
        return f"{self.id}:{self.since}:{self.who}"


def read_stamp(root: Path) -> Optional[PushStamp]:
    """The stamp of the last push to a target; None where there is none."""
    try:
        return PushStamp.find((root / LOCK).read_text("ascii", "replace"))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def reading(root: Path, push: str) -> Iterator[bool]:
    """Keep pushes from the tree at `root` while the body reads it; whether it is that `push`'s.

    False also while another push writes to it. Without a `push`, any that is whole will do.
    """
    with open(str(root / LOCK), "a+") as file:
        try:
            is_whole = try_lock(file, fcntl.LOCK_SH)
        except OSError:
            # The file system has no locks: the push has said so.
            is_whole = True
        stamp = read_stamp(root)
        yield is_whole and (not push or stamp is not None and stamp.id == push)


def waiting_for(stamp: Optional[PushStamp]) -> str:
    """What is told where another holds the lock; `stamp` is that of the last push."""
    who, since = (stamp.who, stamp.since) if stamp else ("", time.time())
    return waiting_words("a push to this target, or a job's copy of it, which is", who, since)
