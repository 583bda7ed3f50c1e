"""What rsync says of a transfer: the lines of what it did, and its last complaint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from remote.transport.acting_files import acts
from remote.transport.process import LONGEST_LINE
from remote.transport.rsync_problems import DEEPEST, Problem, path_of

#: A number as rsync writes it, of a length that one can have: a server writes into the same stream.
_COUNT = "[0-9][0-9,.]{0,24}"

#: An itemized line up to the name, by rsync(1), --itemize-changes: a dot is what isn't moved.
_ITEM = re.compile(r"(?:\.|([<>ch]))([fdLDS])[^ ]{7,9} ")

_FILES = re.compile(rf"Number of files: ({_COUNT})")
_BYTES = re.compile(rf"Total (?:bytes )?(?:sent|received): ({_COUNT})")

#: What a sender says of a path that a rule has it leave out (rsync's exclude.c).
_HIDDEN = re.compile(r"\[sender\] hiding (file|directory) (.*) because of pattern ")


@dataclass
class Tally:
    """What rsync's itemized lines (`-i`) and `--stats` say it did.

    `files` counts all that it compared, folders too; `anything` tells of changes, if only to a time
    or a mode. `problems` are the paths that it couldn't move, `cleared` those that stood
    in the way and went into the backup, `links` those that were named, with where they lead, and
    `left` those that lead out and don't come, `acting` the files that don't since they act by being
    there.
    """

    sent: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    bytes: int = 0
    files: int = 0
    anything: bool = False
    problems: list[Problem] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    acting: list[str] = field(default_factory=list)

    @property
    def is_news(self) -> bool:
        """Whether it is worth a line: more than times and modes, or something stayed."""
        return bool(self.sent or self.deleted or self.cleared or self.problems)

    def add(self, other: Tally, folder: str) -> None:
        """Count what another transfer did in `folder`; "." is the same one."""
        above = "" if folder == "." else f"{folder}/"
        self.sent += [above + name for name in other.sent]
        self.replaced += [above + name for name in other.replaced]
        self.deleted += [above + name for name in other.deleted]
        # What stands in the way of several folders is one problem.
        self.problems = list(dict.fromkeys([*self.problems, *other.problems]))
        self.cleared += other.cleared
        self.left += [above + name for name in other.left]
        self.acting += [above + name for name in other.acting]
        self.bytes += other.bytes
        self.files += other.files
        self.anything |= other.anything

    def drop_stayed(self) -> None:
        """Take out of what was sent and replaced the files that a problem is of: rsync names a file
        before it tries. A problem without a path may be of any that was there before."""
        names, stayed = {*self.sent}, set[str]()
        for problem in self.problems:
            # It may be absolute, on the other machine: then the longest end that was named is meant.
            slashes = islice(re.finditer("/", f"/{problem.path}"), DEEPEST)
            ends = (problem.path[slash.start() :] for slash in slashes)
            stayed.update(next(([end] for end in ends if end in names), ()))
            stayed.update(() if problem.path else self.replaced)
        self.sent = [name for name in self.sent if name not in stayed]
        self.replaced = [name for name in self.replaced if name not in stayed]

    def then(self, other: Tally) -> Tally:
        """What this transfer and another one of the same files did together."""
        return Tally(
            sent=list(dict.fromkeys(self.sent + other.sent)),
            replaced=list(dict.fromkeys(self.replaced + other.replaced)),
            deleted=self.deleted + other.deleted,
            bytes=self.bytes + other.bytes,
            files=other.files,
            anything=self.anything or other.anything,
            problems=other.problems,
            cleared=self.cleared + other.cleared,
            links=self.links + other.links,
            left=other.left,
            acting=other.acting,
        )

    def read(self, line: str) -> None:
        """Take one line of rsync's output."""
        if line[1:2] == "L" and line[0] in "<>ch.":
            self.links.append(path_of(line.split(" ", 1)[-1].lstrip(" ")))
        if item := _ITEM.match(line):
            self.anything = True
            if item[1] and item[2] in "fL":
                name = path_of(line[item.end() :])
                self.sent.append(name)
                if "+++" not in item[0]:
                    self.replaced.append(name)
        elif line.startswith("*deleting"):
            self.anything = True
            self.deleted.append(path_of(line[len("*deleting") :].strip()))
        elif line.startswith("ignoring unsafe symlink"):
            words = line[len("ignoring unsafe symlink") :].strip(" :").replace('"', "")
            self.left.append(path_of(words))
        elif hidden := _HIDDEN.match(line):
            name = path_of(hidden[2])
            if acts(name, is_folder=hidden[1] == "directory"):
                self.acting.append(name)
        elif count := _FILES.match(line):
            self.files = _number(count[1])
        elif count := _BYTES.match(line):
            self.bytes += _number(count[1])


def _number(text: str) -> int:
    return int(re.sub(r"[,.]", "", text))


def complaint(lines: Sequence[str]) -> str:
    """The last of rsync's messages that gives a reason: the line after it repeats the exit code."""
    reasons = [line for line in lines if line.strip() and "rsync error:" not in line]
    return (reasons or list(lines) or ["no message"])[-1].strip()[:LONGEST_LINE]
