"""`inv doctor`: what is missing here and on the server, and what closes each gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from remote.output import plural, print_json, print_lines, say
from remote.tasks.exits import exit_on_error
from remote.tasks.sync import TARGET_HELP

if TYPE_CHECKING:
    from remote.operations.doctor import Check


@task(help={"target": TARGET_HELP, "json": "print the findings as JSON"})
@exit_on_error
def doctor(c: Context, target: str = "", json: bool = False) -> None:
    """Check this machine and the server; for each gap, the command that closes it.

    The exit code is 1 where a gap stops all work.
    """
    from remote.operations.doctor import examine

    checks = []
    for check in examine(target):
        checks.append(check)
        if not json:
            _show(check)
    if json:
        print_json(checks)
    else:
        _conclude(checks)
    if any(check.stops and not check.ok for check in checks):
        raise Exit(code=1)


def _show(check: Check) -> None:
    mark = "ok" if check.ok else "gap"
    print_lines(f"{mark:<3}  {check.where:<5}  {check.name:<13}  {check.message}".rstrip())
    if not check.ok and check.fix:
        print_lines(f"{'':27}fix: {check.fix}")


def _conclude(checks: list[Check]) -> None:
    gaps = [check for check in checks if not check.ok]
    stopping = [check for check in gaps if check.stops]
    if not gaps:
        say("Nothing is missing.")
    else:
        say(f"{plural(len(gaps), 'gap')}; {len(stopping) or 'none'} of them stops all work.")


TASKS = (doctor,)
