r"""Everything that the toolkit prints: lines, tables, JSON, progress, and numbers in words.

File names, records and whatever a server says may hold control characters that would clear the
screen, set the window's title or forge a line. So this module escapes whatever it prints, and no
command writes to standard output or error in another way (tests/tasks/test_output_rule.py).
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from remote import files
from remote.addresses import without_secrets
from remote.files import plural as plural
from remote.files import size as size
from remote.next_steps import complete

#: Letters to which a column of a table is filled up.
WIDEST = 100

#: Letters that a column keeps that gives way to others.
NARROWEST = 12

#: How many lines of one kind are printed before the rest is only counted.
SHOWN = 5

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: What no plain letter of a log is (ECMA-48, 5.4): colours, what moves or wipes, all other controls,
#: marks that change the direction of writing. And the beginning of one that ends in the next piece.
_CONTROL = re.compile(
    r"(?P<colour>\x1b\[[0-9;:]{0,40}m)|(?P<move>\x1b\[[0-?]{0,40}[ -/]{0,4}[@-~])"
    r"|[\0-\7\v\f\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BEGUN = re.compile(r"\x1b(\[[0-?]{0,40}[ -/]{0,4})?\Z")
_RSYNC = re.compile(r"^\s*([0-9,.]{1,25})\s+([0-9]{1,3})%\s+(\S{1,25}/s)")
_BAR = 24


def printable(text: str) -> str:
    r"""`text` on one line that can't steer a terminal.

    Control characters, line breaks, marks that change the direction of writing and bytes that were
    no text become `\x1b`, `\n`, `\u202e`, `\udcff`; passwords in addresses become asterisks.
    """
    text = without_secrets(text)
    if text.isprintable():
        return text
    return "".join(char if _is_plain(char) else ascii(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """The same for a text that has several lines by its author's will; tabs become blanks."""
    return "\n".join(_printable_line(line) for line in text.split("\n"))


class Painted(str):
    """A line that is escaped already, with colours of our own."""


def _printable_line(line: str) -> str:
    return line if isinstance(line, Painted) else printable(line.expandtabs(4))


def _is_plain(char: str) -> bool:
    # Python holds only one of the blanks for printable, but Japanese writes another.
    return char.isprintable() or unicodedata.category(char) == "Zs"


#: Whether results are told as JSON, and in no other way.
_json_alone = False


@contextlib.contextmanager
def json_alone() -> Iterator[None]:
    """Keep standard output for `print_json`: lines of results are left out, and logs are said."""
    global _json_alone
    _json_alone = True
    try:
        yield
    finally:
        _json_alone = False


def print_lines(*lines: str) -> None:
    """Print results on standard output, each argument as one line."""
    if not _json_alone:
        _write(sys.stdout, "".join(f"{_printable_line(line)}\n" for line in lines))


#: Which of several targets this thread talks with.
_target: contextvars.ContextVar[str] = contextvars.ContextVar("target", default="")


@contextlib.contextmanager
def saying_of(target: str) -> Iterator[None]:
    """Have what this thread says in the body begin with the name of a target, where one is given, which
    the commands in it name, too."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def say(*lines: str) -> None:
    """Print on standard error what is no result, each argument as one line."""
    target = _target.get()
    begin = f"{target}: " if target else ""
    whole = (_printable_line(begin + complete(line, target)) for line in lines)
    _write(sys.stderr, "".join(f"{line}\n" for line in whole))


def ask(question: str) -> None:
    """Print a question on standard error, whose answer is typed behind it."""
    _write(sys.stderr, printable(question))


# Whoever waits for a lock in the client says so.
files.on_wait = say


def say_first(lines: Sequence[str], noun: str) -> None:
    """Say the first few lines, and how many more of `noun` (in the plural) there are."""
    say(*lines[:SHOWN])
    if len(lines) > SHOWN:
        say(f"… and {len(lines) - SHOWN} more {noun}")


def plain_log(text: str) -> str:
    """A piece of a log, which may begin and end within a line, without its colours."""
    return printable_lines(_COLOUR.sub("", text).replace("\r\n", "\n"))


def say_log(text: str) -> None:
    """Say such a piece."""
    _write(sys.stderr, plain_log(text))


class LogOutput:
    """A job's log on standard output, as it comes: with its colours, and lines that are drawn over.

    What else steers a terminal is left out where it moves the cursor, and escaped where it does
    more: titles, the clipboard, answers typed as if by the user.
    """

    def __init__(self) -> None:
        self._unfinished = ""

    def write(self, text: str) -> None:
        """Write a piece, which may begin and end anywhere."""
        text = self._unfinished + text
        begun = _BEGUN.search(text)
        self._unfinished = begun[0] if begun else ""
        stream = sys.stderr if _json_alone else sys.stdout
        _write(stream, _CONTROL.sub(_tamed, text[: begun.start()] if begun else text))


def _tamed(match: re.Match[str]) -> str:
    if match["colour"]:
        return match[0]
    return "" if match["move"] else ascii(match[0])[1:-1]


def print_json(value: Any) -> None:
    """Print data for scripts; see remote.answers."""
    text = without_secrets(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    # JSON leaves C1 controls and lone surrogates as they are, but has an escape for each of them.
    escaped = (
        char if char == "\n" or _is_plain(char) else json.dumps(char)[1:-1] for char in f"{text}\n"
    )
    _write(sys.stdout, "".join(escaped))


def draw_screen(lines: Sequence[str]) -> None:
    """Draw over what the terminal shows; elsewhere the pictures follow each other.

    The first line stays at the top; of the others, the last ones that fit are shown.
    """
    if _json_alone:
        return
    if not sys.stdout.isatty():
        print_lines(*lines, "")
        return
    columns, rows = os.get_terminal_size()
    visible = [
        line if isinstance(line, Painted) else printable(line)[: columns - 1]
        for line in [*lines[:1], *lines[1:][-(rows - 2) :]]
    ]
    # Home, each line cleared to its end, then the rest of the screen: it doesn't flicker.
    _write(sys.stdout, "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in visible) + "\x1b[J")


def _write(stream: TextIO, text: str) -> None:
    # The dashboard's has none.
    encoding = getattr(stream, "encoding", "") or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with columns of equal width."""
    cells = [[printable(cell) for cell in row] for row in rows]
    # One long cell doesn't make all others as long.
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*cells)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths)] for row in cells)
    return ["  ".join(row).rstrip() for row in padded]


def fitted_table(
    rows: Iterable[Sequence[str]], shrink: Sequence[int], colours: Mapping[str, int]
) -> list[str]:
    """The same for a terminal: no line is longer than it is wide, and some cells are coloured.

    `shrink` are the columns that give way, by their index, the first one first, down to NARROWEST,
    then altogether; the last column takes what is left. `colours` are those of whole cells, by their text, as
    numbers of ECMA-48's SGR. Elsewhere, it is a plain table.
    """
    if not sys.stdout.isatty():
        return table(rows)
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    widths = fitted_widths(widths, shutil.get_terminal_size().columns - 1, shrink)
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
    lines: list[str] = []
    for row in cells:
        painted = []
        for cell, width in zip(row, widths):
            colour = "" if plain or cell not in colours else f"\x1b[{colours[cell]}m"
            fit = _cut(cell, width).ljust(width)
            painted += [f"{colour}{fit}\x1b[0m" if colour else fit] if width else []
        lines.append(Painted("  ".join(painted).rstrip()))
    return lines


def fitted_widths(widths: Sequence[int], room: int, shrink: Sequence[int]) -> list[int]:
    """The widths that columns with two blanks between them have on a line that is `room` wide."""
    fitted, room = list(widths), room - 2 * (len(widths) - 1)
    for least in (NARROWEST, 0):
        for index in shrink:
            fitted[index] -= min(max(sum(fitted) - room, 0), max(fitted[index] - least, 0))
    fitted[-1] -= max(sum(fitted) - room, 0)
    return fitted


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: max(width - 1, 0)]}…"


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"


class Progress:
    """One line on a terminal that is drawn over, and wiped where its `with` ends; elsewhere nothing.

    While one is `alone`, those that begin inside of it, in whatever thread, aren't shown.
    """

    _is_taken = False

    def __init__(self, title: str, *, alone: bool = False) -> None:
        self.title = title
        self.shown = sys.stderr.isatty() and not Progress._is_taken
        self._alone = alone
        self._drawn = 0.0
        self._has_percentage = False

    def __enter__(self) -> Progress:
        Progress._is_taken |= self._alone
        return self

    def __exit__(self, *error: object) -> None:
        Progress._is_taken &= not self._alone
        if self._drawn:
            width = shutil.get_terminal_size().columns - 1
            _write(sys.stderr, "\r" + " " * width + "\r")

    def read_rsync(self, line: str) -> bool:
        """Show one line of rsync's progress; False where it is none."""
        match = _RSYNC.match(line)
        if match:
            self._has_percentage = True
            count = int("0" + re.sub(r"[,.]", "", match[1]))
            self.draw(int(match[2]) / 100, f"{size(count)}, {match[3]}")
        return bool(match)

    def count(self, files: int) -> None:
        """Show how many files went, unless rsync tells its progress itself."""
        if not self._has_percentage:
            self.amount(f"{files} files")

    def amount(self, text: str) -> None:
        """Show how much came, where nobody knows how much it will be."""
        self._draw_over(f"{self.title} {text}")

    def of(self, done: int, total: int) -> None:
        """Draw the bar for `done` of `total` steps."""
        self.draw(done / max(total, 1), f"{done} of {total}")

    def draw(self, share: float, text: str) -> None:
        """Draw the bar. `share` is between 0 and 1."""
        full = min(_BAR, int(share * _BAR))
        self._draw_over(f"{self.title} [{'#' * full}{'.' * (_BAR - full)}] {share:4.0%} {text}")

    def _draw_over(self, line: str) -> None:
        """Draw over the line, ten times a second at most."""
        if not self.shown or time.monotonic() - self._drawn < 0.1:
            return
        self._drawn = time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        _write(sys.stderr, "\r" + printable(line)[:width].ljust(width))
