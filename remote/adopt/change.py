"""One file as it is and as it would be, and how files of the project are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).with_name("files")


@dataclass(frozen=True)
class Change:
    """A file below the project's root, as it is (None: there is none) and as it would be.

    The user is told `note`, where there is one.
    """

    name: str
    before: str | None
    after: str
    note: str = ""


class ManualStep(Exception):
    """A file that only its owner can change; the message says why, and how."""


def template(name: str) -> str:
    """One of the files that are written."""
    return (TEMPLATES / f"{name}.txt").read_text("utf-8")


def read(root: Path, name: str) -> str | None:
    """A file of the project with its own line endings, None where it is absent.

    Raises ManualStep.
    """
    path = root / name
    if path.is_symlink():
        raise ManualStep(f"{name} is a link")
    if not path.exists():
        return None
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise ManualStep(f"{name} can't be read as text ({error})") from None


def append(text: str, lines: Iterable[str]) -> str:
    """`text` and further lines, in the line endings that it has."""
    end = "\r\n" if "\r\n" in text else "\n"
    gap = end if text and not text.endswith("\n") else ""
    return text + gap + "".join(line + end for line in lines)


def paragraphs(text: str) -> list[str]:
    """The parts of a text between its empty lines."""
    parts = re.split(r"\n[ \t]*\n", text)
    return [part.strip("\n") for part in parts if part.strip()]


BEGIN = "# >>> remote-gpu-workflow >>>"
END = "# <<< remote-gpu-workflow <<<"


def outside(text: str) -> str:
    """All of a text but its block; raises ManualStep."""
    first, last = _span(text)
    lines = text.splitlines(keepends=True)
    return "".join(lines[:first] + lines[last:])


def replace_block(text: str, block: Iterable[str]) -> str:
    """`text` with these lines as its block, where it was, else at the end; raises ManualStep."""
    first, last = _span(text)
    lines = text.splitlines(keepends=True)
    before, after = "".join(lines[:first]), "".join(lines[last:])
    needs_gap = first == last and before.strip() and not before.endswith(("\n\n", "\r\n\r\n"))
    return append(before, [*([""] if needs_gap else []), BEGIN, *block, END]) + after


def _span(text: str) -> tuple[int, int]:
    """The block's lines: from, and up to; both at the end where there is none."""
    lines = [line.strip() for line in text.splitlines()]
    begins = [number for number, line in enumerate(lines) if line == BEGIN]
    ends = [number for number, line in enumerate(lines) if line == END]
    if not begins and not ends:
        return len(lines), len(lines)
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ManualStep(f"the lines {BEGIN} and {END} must stand in it once each, in that order")
    return begins[0], ends[0] + 1
