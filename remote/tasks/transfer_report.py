"""What pushes and pulls did, in words, and how a task ends that left some of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.exceptions import Exit

from remote.output import SHOWN, plural, print_lines, say, say_first, size

if TYPE_CHECKING:
    from remote.operations.sync import Pulled, Pushed
    from remote.session import TargetSession
    from remote.transport.rsync_problems import Problem

#: The exit code of what was done but for some paths; what failed as a whole has another one.
NOT_ALL = 3


def exit_unless_all(problems: Sequence[Problem], verb: str) -> None:
    """Exit with NOT_ALL where a path could not be moved."""
    if problems:
        raise Exit(f"All but {plural(len(problems), 'path')} was {verb}.", code=NOT_ALL)


def tell_pushed(server: TargetSession, pushed: Pushed, *, dry_run: bool) -> None:
    """Say what a push did, or would do, and what it left."""
    from remote.operations.sync import line, say_problems

    if dry_run:
        print_lines(*(f"send    {name}" for name in pushed.files.sent))
        print_lines(*(f"delete  {name}" for name in pushed.files.deleted))
    print_lines(line(server, pushed, dry_run=dry_run))
    if pushed.foreign:
        say(
            f"Nothing was deleted: {server.target} holds files that this project never pushed.",
            "To delete them anyway: inv sync-push --delete",
        )
    say_problems(pushed.files.problems, "pushed")


def tell_saved(server: TargetSession, pushed: Pushed) -> None:
    """Say in one line what was saved and is there now; of a push of all, what is said of any."""
    if pushed.is_whole:
        tell_pushed(server, pushed, dry_run=False)
        return
    from remote.operations.sync import say_problems

    names = [*pushed.files.sent, *(f"{name} (deleted)" for name in pushed.files.deleted)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    if names:
        moment = time.strftime("%H:%M:%S")
        print_lines(f"{moment}  {', '.join(names[:SHOWN])}{more}, {pushed.seconds:.1f} s")
    say_problems(pushed.files.problems, "pushed")


def tell_pulled(server: TargetSession, pulled: Pulled, *, dry_run: bool) -> None:
    """Say what a pull brought, and what it kept."""
    from remote.tasks import merge_report

    files, records = pulled.files, pulled.records
    if dry_run:
        print_lines(*(f"pull    {name}" for name in files.sent))
    parts = [plural(len(files.sent), "file"), *merge_report.parts(records)]
    parts += [size(files.bytes + records.bytes), f"{pulled.seconds:.1f} s"]
    verb = "would pull" if dry_run else "pulled"
    print_lines(f"{verb} from {server.target}: {', '.join(parts)}")
    merge_report.replaced(files.replaced, "file", pulled.backup)
    merge_report.left(files.left, files.acting)
    merge_report.cleared(files.cleared, pulled.backup)
    unpulled = pulled.unpulled.items()
    say_first([f"not pulled: {files} (inv remote-fetch {job})" for job, files in unpulled], "jobs")
    if records.summary is not None:
        merge_report.remarks(records)
    elif not records.unreadable:
        say("The target has no MLflow records yet.")
