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
