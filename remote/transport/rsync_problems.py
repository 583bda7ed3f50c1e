"""The paths that rsync could not move, out of what it says when it ends with 23 ("some files"): pure.

Its messages are those of rsync 2.6.9 to 3.4 (io.c, generator.c, receiver.c, sender.c, flist.c). A
server writes into the same stream, so what is read here is told and kept in bounds, never obeyed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

#: rsync's exit code (rsync(1)) for "some files were not transferred".
SOME = 23

#: How many are read: rsync goes on with the next file, whatever their number.
MANY = 1000

#: How many letters of one are read: a path and a reason.
LONGEST = 5000

#: How many names a path may have.
DEEPEST = 100

_ROLE = re.compile(r"\[(\w+)\] ")
_IN_THE_WAY = re.compile(r"could not make way for (?:new |backup )?([a-z -]+): (.*)")
_UNFIT = re.compile(r"Unable to create partial-dir for (.*) -- discarding completed file\.?")
_SENDERS = re.compile(r"send_files|opendir|readlink|link_stat|read errors|change_dir|no referent")
_TEMPORARY = re.compile(r"(^|/)\.([^/]*)\.[A-Za-z0-9]{6}$")
_NUMBERED = re.compile(r"\\#(?!000)([01][0-7]{2})")
_NO_PATH = re.compile(r"rsync error:|\*\*\* Skipping|IO error encountered|file has vanished|\s*$")


#: What may be the matter with a path.
UNREADABLE, UNWRITABLE, IN_THE_WAY = "unreadable", "unwritable", "in the way"
DANGLING, STRANGE = "a link to nothing", "a link that isn't followed"
CHANGED = "changed meanwhile"
SECRET, BESIDE = "called like a secret", "a link to what lies beside"
ONE_NAME = "two names, and one file"

#: Of a file of the toolkit's own, which no rsync tells of.
DAMAGED = "damaged"

#: The next step, by what is the matter: on this machine, on the other one.
_HINTS = {
    UNREADABLE: (
        "Make it readable (chmod u+r), or name it in .rsyncignore.",
        "Make it readable on the server (chmod u+r), or ask its owner to.",
    ),
    UNWRITABLE: (
        "Make it and its folder writable (chmod u+w).",
        "Make it and its folder writable on the server (chmod u+w), or ask their owner to.",
    ),
    IN_THE_WAY: ("Move it away.", "Move it away on the server."),
    DANGLING: (
        "Mount the disk that it leads to, or remove the link.",
        "Mount its destination on the server, or remove the link.",
    ),
    DAMAGED: ("Put back a copy of it, or remove it.", "Put back a copy of it on the server."),
    STRANGE: (
        "Put a folder in its place, or a link of your own.",
        "Put a folder in its place on the server.",
    ),
    CHANGED: ("Repeat the command when nothing writes to it.",) * 2,
    BESIDE: ("Name that, too, in the same command, or put a copy in the link's place.",) * 2,
    SECRET: ("If it is none: a line with ! and its name in .rsyncignore.",) * 2,
    ONE_NAME: ("Rename one of them.", "Rename one of them on the server."),
}


@dataclass(frozen=True)
class Problem:
    """A path that stayed as it was on the machine that had to read or to write it.

    `path` is below the project's or the target's root, or absolute; empty where rsync names none.
    `there` is the other machine, empty for this one.
    """

    path: str
    reason: str
    kind: str = UNWRITABLE
    there: str = ""

    @property
    def text(self) -> str:
        """What is wrong, on which machine, and what to do, in one line."""
        where = f"{self.path or 'a path'} on {self.there or 'this machine'}"
        return f"{where}: {self.reason}. {_HINTS[self.kind][bool(self.there)]}"


def path_of(name: str) -> str:
    """A path of which rsync writes a line break, what else would steer a terminal, and a backslash that
    could be mistaken, by their numbers (log.c). No path holds a zero."""
    return _NUMBERED.sub(lambda match: chr(int(match[1], 8)), name)


def concerned(problems: Sequence[Problem], places: Iterable[str]) -> set[str]:
    """Those places in which something may have stayed: a problem's path is in it or above it, or
    unknown, or so long that it is nobody's."""
    below = defaultdict[str, set[str]](set)
    for place in places if problems else ():
        for above in accumulate(place.split("/"), "{}/{}".format):
            below[above].add(place)
    every, found = set().union(*below.values()), set[str]()
    for problem in problems:
        parts = problem.path.split("/")
        if not problem.path or len(parts) > DEEPEST:
            return every
        # It may be absolute, on the other machine: any end of it may be what a place lies below.
        for start in range(len(parts)):
            found |= below.get("/".join(parts[start:]), set())
            found |= every.intersection(accumulate(parts[start:], "{}/{}".format))
    return found


def problems_of(words: str, *, is_pull: bool, target: str, root: str, folder: str) -> list[Problem]:
    """The problems that rsync's standard error names, each once; of more than MANY lines the last one
    has no path.

    `root` is rsync's folder on this machine; `folder` was written to, seen from there or from the
    target.
    """
    problems: dict[Problem, None] = {}
    # A name may have what Unicode, and not rsync, takes for the end of a line.
    lines = words.rstrip("\n").split("\n")
    for line in filter(None, map(_parse, lines[:MANY])):
        here = (line.kind == UNREADABLE) != is_pull
        path = path_of(line.path)
        path = path[len(root) + 1 :] if path.startswith(f"{root}/") else path
        path = folder + path if line.is_written else path
        problems[Problem(path, line.reason, line.kind, "" if here else target)] = None
    told = list(problems)
    if len(lines) > MANY:
        last = told[-1] if told else Problem("", "")
        told.append(replace(last, path="", reason=f"it is one of {len(lines) - MANY} more"))
    return told


class _Line(NamedTuple):
    path: str
    reason: str
    kind: str = UNWRITABLE
    is_written: bool = False
    """Whether the path is one in the folder that is written to."""


def _parse(line: str) -> _Line | None:
    if _NO_PATH.match(line):
        return None
    line = line[:LONGEST]
    line = re.sub(r"^(?:open)?rsync(?:\(\d+\))?: (?:error: )?", "", line)
    obstacle = _IN_THE_WAY.fullmatch(line)
    if obstacle:
        return _Line(obstacle[2], f"it stands in the way of a {obstacle[1]}", IN_THE_WAY, True)
    unfit = _UNFIT.fullmatch(line)
    if unfit:
        return _Line(unfit[1], "its folder can't be written to", is_written=True)
    # The reason holds no quotes; a name may.
    head, _, tail = line.rpartition('"')
    action, _, path = head.partition('"')
    if not path:
        return _Line("", line.strip())
    role = _ROLE.match(action)
    of_sender = role[1] == "sender" if role else bool(_SENDERS.search(action))
    reason = re.sub(r" \(\d+\)$", "", tail.partition(": ")[2]) or action.strip(" :")
    if of_sender:
        return _Line(path, reason, UNREADABLE)
    first, _, second = path.partition('" -> "')
    if action.split()[-1:] in (["rename"], ["copy"]):
        # The first lies where a file is until it is whole, which may be another folder.
        return _Line(second, reason, is_written=True)
    return _Line(_TEMPORARY.sub(r"\1\2", first), reason)
