"""Files of single lines: `.rsyncignore`, `.gitignore`, `.env.example`. What they lack is added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from remote.adopt import block
from remote.adopt.change import Change, paragraphs, read, template

#: What a folder holds that is a Python environment, by venv or conda.
ENVIRONMENT = ("pyvenv.cfg", "conda-meta")


def rsyncignore(root: Path) -> Change:
    """What a push leaves here: ours, and the environments that lie in the project."""
    lines = template("rsyncignore").splitlines()
    own = [f"/{name}/" for name in environments(root) if f"{name}/" not in lines]
    return _extended(root, ".rsyncignore", [*lines, *own], "\n", _pattern)


def gitignore(root: Path) -> Change:
    """Settings and records stay out of git, where there is one."""
    has_git = any((folder / ".git").exists() for folder in (root, *root.parents))
    if not has_git and not (root / ".gitignore").exists():
        return Change(".gitignore", "", "")
    return _extended(root, ".gitignore", template("gitignore").splitlines(), "\n", _pattern)


def env_example(root: Path) -> Change:
    """The settings, each with the comment that explains it."""
    return _extended(root, ".env.example", paragraphs(template("env.example")), "\n\n", _setting)


def environments(root: Path) -> Iterator[str]:
    """The folders in `root` that are Python environments, in order, as patterns of rsync's."""
    for folder in sorted(root.iterdir()):
        if any((folder / mark).exists() for mark in ENVIRONMENT) and folder.name.isprintable():
            # What rsync would take for a wildcard stands for itself.
            yield re.sub(r"([\\*?\[])", r"\\\1", folder.name)


def _extended(
    root: Path, name: str, parts: list[str], between: str, key: Callable[[str], str]
) -> Change:
    """The file with those parts in its block whose `key` no line outside of it has."""
    before = read(root, name)
    if before is None:
        return Change(name, None, between.join(parts) + "\n")
    present = {key(line) for line in block.outside(before).splitlines()} | {""}
    missing = [part for part in parts if key(part) not in present]
    lines = between.join(missing).splitlines()
    return Change(name, before, block.replace(before, lines) if lines else before)


def _pattern(line: str) -> str:
    """A pattern without the slashes that change nothing for a name in the root."""
    return "" if line.startswith("#") else line.strip().strip("/")


def _setting(text: str) -> str:
    """The setting that a line, or a paragraph, gives a value or shows."""
    pattern = r"^[# \t]*(?:export[ \t]+)?([A-Z_][A-Z0-9_]*)[ \t]*="
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
