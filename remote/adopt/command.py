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
        print("Nothing to do: the project has all of it.")
        return _tell(wanted)
    _overview(wanted)
    if arguments.dry_run:
        return _only_show(wanted)
    if not arguments.yes and any(ask.touching(wanted)):
        if not sys.stdin.isatty():
            _only_show(wanted)
            print(
                "Nothing was changed: there is no terminal to ask at. --yes agrees to all of it.",
                file=sys.stderr,
            )
            return 1
        try:
            agreed = ask.approved(wanted)
        except ask.Quit:
            print("Nothing was changed.")
            return 1
        agreed.steps = wanted.steps
        return _do(root, agreed)
    return _do(root, wanted)


def _overview(wanted: Part) -> None:
    for change in wanted.changes:
        print(f"{'add   ' if change.before is None else 'change'}  {change.name}")
    for command in wanted.commands:
        print(f"run     {shlex.join(command.argv)}")


def _only_show(wanted: Part) -> int:
    for step in ask.touching(wanted):
        print()
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
        print(f"$ {shlex.join(command.argv)}", flush=True)
        said = write.run(root, command)
        if said:
            failed = 1
            print(said, file=sys.stderr)
            agreed.remarks.append(f"Not done: {shlex.join(command.argv)}")
    if kept:
        print(f"What was there before is kept in {kept}/")
    return _tell(agreed) or failed


def _tell(wanted: Part) -> int:
    _remark(wanted)
    print("\nNext:")
    for step in wanted.steps:
        print(f"  {step}")
    return 0


def _remark(wanted: Part) -> None:
    for remark in wanted.remarks:
        print(f"\n{remark}")
