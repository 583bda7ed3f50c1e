"""Files of single lines: `.rsyncignore`, `.gitignore`, `.env.example`. What they lack is added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from remote.adopt import block
from remote.adopt.part import Part, given, paragraphs, read

#: What a folder holds that is a Python environment, by venv or conda.
ENVIRONMENT = ("pyvenv.cfg", "conda-meta")


def rsyncignore(root: Path) -> Part:
    """What a push leaves here: ours, and the environments that lie in the project."""
    ours = given("rsyncignore")
    own = [f"/{name}/" for name in environments(root) if f"{name}/" not in ours.splitlines()]
    return _filled(root, ".rsyncignore", ours + "".join(f"{line}\n" for line in own), _missing)


def gitignore(root: Path) -> Part:
    """Settings and records stay out of git, where there is one."""
    tracked = any((folder / ".git").exists() for folder in (root, *root.parents))
    if not tracked and not (root / ".gitignore").exists():
        return Part()
    return _filled(root, ".gitignore", given("gitignore"), _missing)


def env_example(root: Path) -> Part:
    """The settings, each with the comment that explains it."""
    return _filled(root, ".env.example", given("env.example"), _missing_settings)


def environments(root: Path) -> Iterator[str]:
    """The folders in `root` that are Python environments, in order."""
    for folder in sorted(root.iterdir()):
        if any((folder / mark).exists() for mark in ENVIRONMENT) and folder.name.isprintable():
            # What rsync would take for a wildcard stands for itself.
            yield re.sub(r"([\\*?\[])", r"\\\1", folder.name)


def _filled(root: Path, name: str, wanted: str, missing: Callable[[str, str], list[str]]) -> Part:
    part, before = Part(), read(root, name)
    if before is None:
        part.change(name, None, wanted)
        return part
    lines = missing(before, wanted)
    if lines:
        part.change(name, before, block.put(before, [*block.inside(before), *lines]))
    return part


def _missing(text: str, wanted: str) -> list[str]:
    there = {_plain(line) for line in text.splitlines()}
    return [
        line
        for line in wanted.splitlines()
        if line and not line.startswith("#") and _plain(line) not in there
    ]


def _plain(pattern: str) -> str:
    """A pattern without the slashes that change nothing for a name in the root."""
    return pattern.strip().strip("/")


def _missing_settings(text: str, wanted: str) -> list[str]:
    there = set(_settings(text))
    lines: list[str] = []
    for paragraph in paragraphs(wanted):
        names = _settings(paragraph)
        if names and not there.intersection(names):
            lines += ["", *paragraph.splitlines()] if lines else paragraph.splitlines()
    return lines


def _settings(text: str) -> list[str]:
    return re.findall(r"^[# \t]*(?:export[ \t]+)?([A-Z_][A-Z0-9_]*)[ \t]*=", text, re.MULTILINE)
