"""`adopt` as it is typed."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from remote.adopt import ask, write
from remote.adopt.part import Part
from remote.adopt.plan import plan
from remote.adopt.source import source
from remote.output import print_lines, say

ABOUT = "Bring the toolkit into a project that exists; asks before it touches a file there."


def add_arguments(parser: ArgumentParser) -> None:
    """What `adopt` takes."""
    parser.add_argument("folder", nargs="?", default=".", help="the project's root (default: here)")
    parser.add_argument("--yes", action="store_true", help="change files without asking")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, do nothing"
    )


def adopt(arguments: Namespace) -> int:
    """Plan, ask, write; the exit code comes back. Raises RemoteError."""
    root = Path(arguments.folder).resolve()
    wanted = plan(root, source())
    if not wanted.changes and not wanted.commands:
        print_lines("Nothing to do: the project has all of it.")
        return _tell(wanted)
    _overview(wanted)
    if arguments.dry_run:
        return _only_show(wanted)
    if not arguments.yes and any(ask.touching(wanted)):
        if not sys.stdin.isatty():
            _only_show(wanted)
            say("Nothing was changed: there is no terminal to ask at. --yes agrees to all of it.")
            return 1
        try:
            agreed = ask.approved(wanted)
        except ask.Quit:
            print_lines("Nothing was changed.")
            return 1
        agreed.steps = wanted.steps
        return _do(root, agreed)
    return _do(root, wanted)


def _overview(wanted: Part) -> None:
    for change in wanted.changes:
        print_lines(f"{'add   ' if change.before is None else 'change'}  {change.name}")
    for command in wanted.commands:
        print_lines(f"run     {shlex.join(command.argv)}")


def _only_show(wanted: Part) -> int:
    for step in ask.touching(wanted):
        print_lines("")
        ask.show(step)
    _remark(wanted)
    return 0


def _do(root: Path, agreed: Part) -> int:
    touched = [change.name for change in agreed.changes]
    touched += [name for command in agreed.commands for name in command.touched]
    kept = write.backup(root, touched)
    for change in agreed.changes:
        write.write(root, change)
    failed = 0
    for command in agreed.commands:
        print_lines(f"$ {shlex.join(command.argv)}")
        said = write.run(root, command)
        if said:
            failed = 1
            say(*said.split("\n"))
            agreed.remarks.append(f"Not done: {shlex.join(command.argv)}")
    if kept:
        print_lines(f"What was there before is kept in {kept}/")
    return _tell(agreed) or failed


def _tell(wanted: Part) -> int:
    _remark(wanted)
    print_lines("", "Next:", *(f"  {step}" for step in wanted.steps))
    return 0


def _remark(wanted: Part) -> None:
    for remark in wanted.remarks:
        print_lines("", *remark.split("\n"))
