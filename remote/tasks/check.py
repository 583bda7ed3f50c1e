"""`inv mlflow-check`: is the store sound, and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.output import plural, print_json, print_lines, say
from remote.tasks.declare import command

if TYPE_CHECKING:
    from remote.operations.tracking.check_store import Checked
    from remote.tracking.check import Finding

_EXAMPLES = 3


@command(
    positional=["store"],
    help={
        "store": "a store's file, its project's folder, or sqlite:///… (default: mlflow.db)",
        "mend": "mend what can be mended; a copy of the store is made first",
        "json": "print everything as JSON",
    },
)
def mlflow_check(c: Context, store: str = "", mend: bool = False, json: bool = False) -> None:
    """Check an MLflow store: the file, the paths in it, artifacts, what lies in mlruns.

    The exit code is 1 where a problem is left.
    """
    from remote.operations.tracking.check_store import check

    checked = check(store, mending=mend)
    if json:
        print_json(_as_data(checked))
    else:
        _show(checked, _command(store))
    if checked.problems:
        raise Exit(code=1)


def _command(store: str) -> str:
    import shlex

    return shlex.join(["inv", "mlflow-check", *([store] if store else []), "--mend"])


def _show(checked: Checked, command: str) -> None:
    if checked.backup:
        print_lines(f"a copy of the store as it was: {checked.backup}")
    for finding in checked.mended:
        print_lines(f"mended  {_line(finding)}")
    for finding in checked.findings:
        print_lines(f"{'note' if finding.note else 'wrong':<6}  {_line(finding)}")
        if next_step := _next(finding, command):
            print_lines(f"{'':8}next: {next_step}")
    if checked.problems:
        say(f"{plural(len(checked.problems), 'problem')} in {checked.store}.")
    else:
        print_lines(f"{checked.store} is sound.")


def _line(finding: Finding) -> str:
    """What was found, with some examples."""
    examples = ", ".join(finding.items[:_EXAMPLES])
    more = ", …" if len(finding.items) > _EXAMPLES else ""
    return f"{finding.name}: {finding.summary}" + (f": {examples}{more}" if examples else "")


def _next(finding: Finding, command: str) -> str:
    if finding.changes:
        return command
    return f"{finding.step}; then {command}" if finding.mend_after else finding.step


def _as_data(checked: Checked) -> dict[str, object]:
    return {
        "store": checked.store,
        "sound": not checked.problems,
        "findings": [_finding_data(finding) for finding in checked.findings],
        "mended": [_finding_data(finding) for finding in checked.mended],
        "backup": checked.backup or None,
    }


def _finding_data(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name,
        "message": finding.summary,
        "items": finding.details or finding.items,
        "step": finding.step,
        "mendable": bool(finding.changes),
        "note": finding.note,
    }
