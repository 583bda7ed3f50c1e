"""`inv doctor`: what is missing here and on the server, and what closes each gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from remote.tasks.exits import plural, say, told
from remote.tasks.sync import TARGET_HELP

if TYPE_CHECKING:
    from remote.operations.doctor import Check


@task(help={"target": TARGET_HELP, "json": "print the findings as JSON"})
@told
def doctor(c: Context, target: str = "", json: bool = False) -> None:
    """Check this machine and the server; for each gap, the command that closes it.

    The exit code is 1 where a gap stops all work.
    """
    from remote.operations.doctor import examine

    found = []
    for check in examine(target):
        found.append(check)
        if not json:
            _show(check)
    if json:
        _print_json(found)
    else:
        _conclude(found)
    if any(check.stops and not check.ok for check in found):
        raise Exit(code=1)


def _show(check: Check) -> None:
    mark = "ok" if check.ok else "gap"
    _print(f"{mark:<3}  {check.where:<5}  {check.name:<13}  {check.told}")
    if not check.ok and check.fix:
        _print(f"{'':27}fix: {check.fix}")


def _print(line: str) -> None:
    """Much of it is what a server says of itself, which must not steer this terminal."""
    print("".join(sign if sign.isprintable() else "?" for sign in line).rstrip(), flush=True)


def _print_json(found: list[Check]) -> None:
    import dataclasses
    import json

    print(json.dumps([dataclasses.asdict(check) for check in found], indent=1))


def _conclude(found: list[Check]) -> None:
    gaps = [check for check in found if not check.ok]
    stopping = [check for check in gaps if check.stops]
    if not gaps:
        say("Nothing is missing.")
    else:
        say(f"{plural(len(gaps), 'gap')}; {len(stopping) or 'none'} of them stops all work.")


TASKS = (doctor,)
