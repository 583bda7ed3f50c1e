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
    import shlex

    from remote.operations.tracking.check_store import check

    checked = check(store, mending=mend)
    if json:
        told = {
            "store": checked.store,
            "sound": not checked.findings,
            "findings": [_as_data(finding) for finding in checked.findings],
            "mended": [_as_data(finding) for finding in checked.mended],
            "backup": checked.backup or None,
        }
        print_json(told)
    else:
        _show(checked, shlex.join(["inv", "mlflow-check", *filter(None, [store]), "--mend"]))
    if checked.findings:
        raise Exit(code=1)


def _show(checked: Checked, command: str) -> None:
    if checked.backup:
        print_lines(f"a copy of the store as it was: {checked.backup}")
    for finding in checked.mended:
        print_lines(f"mended  {_line(finding)}")
    for finding in checked.findings:
        step = f"{finding.step}; then {command}" if finding.mend_after else finding.step
        print_lines(f"wrong   {_line(finding)}", f"{'':8}next: {step or command}")
    if checked.findings:
        say(f"{plural(len(checked.findings), 'problem')} in {checked.store}.")
    else:
        print_lines(f"{checked.store} is sound.")


def _line(finding: Finding) -> str:
    """What was found, with some examples."""
    examples = ", ".join(finding.items[:_EXAMPLES])
    more = ", …" if len(finding.items) > _EXAMPLES else ""
    return f"{finding.name}: {finding.message}" + (f": {examples}{more}" if examples else "")


def _as_data(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name,
        "message": finding.message,
        "items": finding.details or finding.items,
        "step": finding.step,
        "mendable": finding.mendable,
    }


TASKS = (mlflow_check,)
