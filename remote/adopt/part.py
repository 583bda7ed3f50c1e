"""What one part of the adoption would do, and how it looks at the project's files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FILES = Path(__file__).with_name("files")


@dataclass(frozen=True)
class Change:
    """A file below the project's root, as it is (None: there is none) and as it would be."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True)
class Command:
    """A program that changes the files `touched`; to be run in the project's root."""

    argv: tuple[str, ...]
    touched: tuple[str, ...]


@dataclass
class Part:
    """`remarks` are told, `steps` are commands that the user has to type afterwards."""

    changes: list[Change] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def add(self, other: Part) -> None:
        """Take over all of another part."""
        self.changes += other.changes
        self.commands += other.commands
        self.remarks += other.remarks
        self.steps += other.steps

    def change(self, name: str, before: str | None, after: str) -> None:
        """Have a file changed, unless it is so already."""
        if before != after:
            self.changes.append(Change(name, before, after))


class ByHand(Exception):
    """A file that only its owner can change; the message says why, and how."""


def given(name: str) -> str:
    """One of the files that are written."""
    return (FILES / f"{name}.txt").read_text("utf-8")


def read(root: Path, name: str) -> str | None:
    """A file of the project with its own line endings; None where there is none; raises ByHand."""
    path = root / name
    if path.is_symlink():
        raise ByHand(f"{name} is a link")
    if not path.exists():
        return None
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise ByHand(f"{name} can't be read as text ({error})") from None


def appended(text: str, lines: Iterable[str]) -> str:
    """`text` and further lines, in the line endings that it has."""
    end = "\r\n" if "\r\n" in text else "\n"
    gap = end if text and not text.endswith("\n") else ""
    return text + gap + "".join(line + end for line in lines)


def distribution(requirement: str) -> str:
    """The name in a requirement, as package indexes compare them; empty for an option or none."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower().rstrip("-") if match else ""


def paragraphs(text: str) -> Iterator[str]:
    """The parts of a text between its empty lines."""
    for part in re.split(r"\n[ \t]*\n", text):
        if part.strip():
            yield part.strip("\n")
