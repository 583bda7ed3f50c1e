"""The paths that rsync could not move, out of what it says when it ends with 23 ("some files"): pure.

Its messages are those of rsync 2.6.9 to 3.4 (io.c, generator.c, receiver.c, sender.c, flist.c). A
server writes into the same stream, so what is read here is told and kept in bounds, never obeyed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

#: rsync's exit code (rsync(1)) for "some files were not transferred".
SOME = 23

#: How many are read: rsync goes on with the next file, whatever their number.
MANY = 1000

#: How many letters of one are read: a path and a reason.
LONGEST = 5000

_ROLE = re.compile(r"\[(\w+)\] ")
_IN_THE_WAY = re.compile(r"could not make way for (?:new |backup )?([a-z -]+): (.*)")
_UNFIT = re.compile(r"Unable to create partial-dir for (.*) -- discarding completed file\.?")
_SENDERS = re.compile(r"send_files|opendir|readlink|link_stat|read errors|change_dir|no referent")
_TEMPORARY = re.compile(r"(^|/)\.([^/]*)\.[A-Za-z0-9]{6}$")
_NO_PATH = re.compile(r"rsync error:|\*\*\* Skipping|IO error encountered|file has vanished|\s*$")


#: What may be the matter with a path.
UNREADABLE, UNWRITABLE, IN_THE_WAY = "unreadable", "unwritable", "in the way"
DANGLING, STRANGE = "a link to nothing", "a link that isn't followed"
CHANGED = "changed meanwhile"

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
}


@dataclass(frozen=True)
class Problem:
    """A path that stayed as it was on the machine that had to read or to write it.

    `path` is below the project's or the target's root, or absolute; empty where rsync names none. `there` is the other machine, empty for this one.
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


def problems_of(words: str, *, is_pull: bool, target: str, root: str, folder: str) -> list[Problem]:
    """The problems that rsync's standard error names, each once.

    `root` is rsync's folder on this machine; `folder` was written to, seen from there or from the
    target.
    """
    problems: dict[Problem, None] = {}
    for line in filter(None, map(_parse, words.splitlines()[:MANY])):
        here = (line.kind == UNREADABLE) != is_pull
        path = line.path[len(root) + 1 :] if line.path.startswith(f"{root}/") else line.path
        path = folder + path if line.kind == IN_THE_WAY else path
        problems[Problem(path, line.reason, line.kind, "" if here else target)] = None
    return list(problems)


class _Line(NamedTuple):
    path: str
    reason: str
    kind: str = UNWRITABLE


def _parse(line: str) -> _Line | None:
    if _NO_PATH.match(line):
        return None
    line = line[:LONGEST]
    line = re.sub(r"^(?:open)?rsync(?:\(\d+\))?: (?:error: )?", "", line)
    obstacle = _IN_THE_WAY.fullmatch(line)
    if obstacle:
        return _Line(obstacle[2], f"it stands in the way of a {obstacle[1]}", IN_THE_WAY)
    unfit = _UNFIT.fullmatch(line)
    if unfit:
        return _Line(unfit[1], "its folder can't be written to")
    # The reason holds no quotes; a name may.
    head, _, tail = line.rpartition('"')
    action, _, path = head.partition('"')
    if not path:
        return _Line("", line.strip())
    role = _ROLE.match(action)
    of_sender = role[1] == "sender" if role else bool(_SENDERS.search(action))
    path = path if of_sender else _TEMPORARY.sub(r"\1\2", path.split('" -> "')[0])
    reason = re.sub(r" \(\d+\)$", "", tail.partition(": ")[2])
    return _Line(path, reason or action.strip(" :"), UNREADABLE if of_sender else UNWRITABLE)
