"""`adopt` as it is typed: show what would change, ask, keep what was there before, write."""

from __future__ import annotations

import difflib
import shlex
import shutil
import stat
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from remote.adopt import dependencies, edits, proposed_outputs
from remote.adopt.edits import Change, ManualStep
from remote.errors import ConfigError
from remote.files import write_atomic
from remote.job.paths import STATE
from remote.output import print_lines, printable, say

ABOUT = "Add the toolkit to an existing project; asks before it changes a file."


def add_arguments(parser: ArgumentParser) -> None:
    """What `adopt` takes."""
    parser.add_argument(
        "folder", nargs="?", default=".", help="the project's root (default: the current folder)"
    )
    parser.add_argument("--yes", action="store_true", help="change files without asking")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, do nothing"
    )


def adopt(arguments: Namespace) -> int:
    """Plan, ask, write; the exit code comes back. Raises RemoteError."""
    root = Path(arguments.folder).resolve()
    planned = plan(root, dependencies.source())
    for change in planned.changes:
        print_lines(f"{'add   ' if change.before is None else 'change'}  {change.name}")
    existing = [change for change in planned.changes if change.before is not None]
    has_to_ask = existing and not arguments.yes
    if arguments.dry_run or has_to_ask and not sys.stdin.isatty():
        for change in existing:
            _show(change)
        _print_notes(planned)
        if arguments.dry_run:
            return 0
        say("Nothing was changed: there is no terminal to ask on. --yes agrees to all changes.")
        return 1
    refused = _ask(existing) if has_to_ask else []
    if refused is None:
        print_lines("Nothing was changed.")
        return 1
    write(root, [change for change in planned.changes if change not in refused])
    planned.notes.extend(f"Not changed: {change.name}." for change in refused)
    if not planned.changes:
        print_lines("Nothing to do: the project has all of it.")
    _print_notes(planned)
    print_lines("", "Next:", *(f"  {step}" for step in planned.steps))
    return 0


def _show(change: Change) -> None:
    before, after = (change.before or "").splitlines(), change.after.splitlines()
    names = f"{change.name} (now)", f"{change.name} (then)"
    print_lines("", *difflib.unified_diff(before, after, *names, lineterm=""))


def _ask(changes: Sequence[Change]) -> list[Change] | None:
    """Show each change, and ask for it; those that are refused, None where all is to stay."""
    refused = []
    for change in changes:
        _show(change)
        letter = ""
        while letter not in ("y", "n", "a"):
            try:
                question = f"Change {change.name}? [y]es, [n]o, [a]ll, [q]uit: "
                letter = input(printable(question)).strip().lower()[:1]
            except (EOFError, KeyboardInterrupt):
                print_lines("")
                letter = "q"
            if letter == "q":
                return None
        if letter == "a":
            break
        if letter == "n":
            refused.append(change)
    return refused


def write(root: Path, changes: Sequence[Change]) -> None:
    """Put the files into their places, and copies of what was there into a folder for backups.

    Each keeps the mode that it had. Raises ConfigError.
    """
    folder = f"{STATE}/backup/adopt-{time.strftime('%Y%m%d-%H%M%S')}"
    existing = [change.name for change in changes if change.before is not None]
    for name in existing:
        try:
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, root / folder / name)
        except OSError as error:
            raise ConfigError(
                f"{name} can't be kept in {folder}/: {error.strerror}.", "Nothing was changed."
            ) from None
    for change in changes:
        path = root / change.name
        try:
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
            write_atomic(path, change.after.encode("utf-8"), mode=mode)
        except OSError as error:
            raise ConfigError(
                f"{change.name} can't be written: {error.strerror}.",
                "Mend that, then repeat the command: what is written already stays.",
            ) from None
    if existing:
        print_lines(f"The old versions are kept in {folder}/")


def _print_notes(planned: Plan) -> None:
    for note in planned.notes:
        print_lines("", *note.split("\n"))


#: What is looked for, in this order, to show how a job is started.
PROGRAMS = (
    *("src/train.py", "train.py", "src/main.py", "main.py"),
    *("src/notebooks/*.ipynb", "notebooks/*.ipynb", "*.ipynb"),
)

EDITORS = (
    edits.tasks_file,
    edits.makefile,
    edits.rsyncignore,
    edits.gitignore,
    edits.env_example,
    edits.agents_file,
    dependencies.requirements,
)


class Plan(NamedTuple):
    """`notes` are told; `steps` are what the user has to type afterwards."""

    changes: list[Change]
    notes: list[str]
    steps: list[str]


def plan(root: Path, toolkit: Sequence[str]) -> Plan:
    """Raises ConfigError where the toolkit can't live in that project."""
    _refuse(root)
    whole = Plan([], [], [])
    for edit in EDITORS:
        try:
            change = edit(root)
        except ManualStep as reason:
            whole.notes.append(f"Not done: {reason}.")
            continue
        if change and change.note:
            whole.notes.append(change.note)
        if change and change.after != change.before:
            whole.changes.append(change)
    whole.notes.extend(filter(None, [proposed_outputs.note(root)]))
    try:
        whole.steps.extend(dependencies.commands(root, toolkit))
    except ManualStep as reason:
        whole.notes.append(f"Not known: what jobs need, since {reason}.")
    runners = {"uv.lock": "uv run ", "poetry.lock": "poetry run "}
    run = next((runner for name, runner in runners.items() if (root / name).is_file()), "")
    found = (path for pattern in PROGRAMS for path in sorted(root.glob(pattern)) if path.is_file())
    path = next(found, root / "PROGRAM")
    is_project = (root / "MLproject").is_file()
    program = "." if is_project else shlex.quote(path.relative_to(root).as_posix())
    whole.steps.append(f"{run}inv sync-push --target user@host:/proj")
    whole.steps.append(f"{run}inv remote-run {program} --follow --pull")
    return whole


def _refuse(root: Path) -> None:
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}.", "Name the root of your project.")
    if root in (Path.home().resolve(), Path(root.anchor)):
        raise ConfigError(f"{root} is no project.", "Name one: python -m remote adopt FOLDER")
    if (root / "remote" / "adopt").is_dir():
        raise ConfigError(
            f"{root} holds the toolkit itself, so there is nothing to adopt.",
            "Name another project: python -m remote adopt FOLDER",
        )
    for name in ("remote/__init__.py", "remote.py", "src/remote/__init__.py", "src/remote.py"):
        if (root / name).exists():
            raise ConfigError(
                f"The project has a module of its own, {name}, and the toolkit's is called"
                " remote too.",
                "Give yours another name first.",
            )
