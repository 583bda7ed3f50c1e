"""The export to an MLflow server that follows a merge, and what is said of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from remote.config import Project
from remote.errors import RemoteError
from remote.output import plural, print_json, print_lines, say, say_first, size

if TYPE_CHECKING:
    from remote.tracking.export import ExportSummary


def export_and_tell(project: Project, *, dry_run: bool = False) -> None:
    """Export what the project's server hasn't yet; silent where no server is set."""
    from remote.operations.tracking.export_records import export_records

    summary = export_records(project, dry_run=dry_run)
    if summary is None:
        return
    if dry_run:
        runs = plural(summary.grown_runs, "run")
        print_lines(f"would export to {summary.server}: {runs}, and what the merge brings")
        return
    print_lines(f"exported to {summary.server}: {', '.join(_parts(summary))}")
    say_first(summary.notes, "remarks")
    if summary.stays_here:
        say(f"not exported, as no server takes them so: {', '.join(summary.stays_here)}")


def _parts(summary: ExportSummary) -> list[str]:
    new = summary.new
    parts = [plural(new.get("run", 0), "new run"), f"{summary.grown_runs} grown"]
    parts += [plural(new["model"], "model")] if "model" in new else []
    parts += [plural(summary.metric_rows, "metric value"), plural(summary.files, "artifact")]
    return [*parts, size(summary.bytes)]


def print_with_export(project: Project, data: dict[str, Any], *, dry_run: bool = False) -> None:
    """Export, and print `data` with what that did, or with why it failed."""
    from remote.operations.tracking.export_records import export_records

    try:
        summary = export_records(project, dry_run=dry_run)
    except RemoteError as error:
        print_json({**data, "export": {"error": str(error)}})
        raise
    print_json({**data, "export": asdict(summary)} if summary else data)
