"""Show what would change, and ask before a file that is there is touched."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator

from remote.adopt.part import Change, Command, Part
from remote.output import print_lines, printable

Step = Change | Command


class Quit(Exception):
    """Nothing at all is to be done."""


def touching(plan: Part) -> Iterator[Step]:
    """What of the plan touches files that are there."""
    yield from (change for change in plan.changes if change.before is not None)
    yield from plan.commands


def show(step: Step) -> None:
    """The difference that it makes, or the command."""
    print_lines(*_difference(step) if isinstance(step, Change) else [f"$ {shlex.join(step.argv)}"])


def approved(plan: Part) -> Part:
    """What of the plan the user agrees to; new files need no asking. Raises Quit."""
    chosen = Part([each for each in plan.changes if each.before is None], remarks=plan.remarks)
    everything = False
    for step in touching(plan):
        print_lines("")
        show(step)
        answer = "y" if everything else _answer(_question(step))
        everything |= answer == "a"
        if answer == "n":
            chosen.remarks.append(f"Left as it is, as you said: {', '.join(_files(step))}.")
        elif isinstance(step, Change):
            chosen.changes.append(step)
        else:
            chosen.commands.append(step)
    return chosen


def _question(step: Step) -> str:
    what = f"Change {step.name}" if isinstance(step, Change) else "Run this"
    return f"{what}? [y]es, [n]o, [a]ll, [q]uit: "


def _files(step: Step) -> tuple[str, ...]:
    return (step.name,) if isinstance(step, Change) else step.touched


def _answer(question: str) -> str:
    letter: str | None = None
    while letter not in ("y", "n", "a"):
        try:
            letter = input(printable(question)).strip().lower()[:1]
        except (EOFError, KeyboardInterrupt):
            print_lines("")
            raise Quit() from None
        if letter == "q":
            raise Quit()
    return letter


def _difference(change: Change) -> list[str]:
    before, after = (change.before or "").splitlines(), change.after.splitlines()
    name = change.name
    return [*difflib.unified_diff(before, after, f"{name} (now)", f"{name} (then)", lineterm="")]
