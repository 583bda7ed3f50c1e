"""`inv diary`: a dated page for what was asked, tried and learnt."""

from __future__ import annotations

import os
import shlex
from datetime import date

from invoke.context import Context
from invoke.tasks import task

from remote.config import Project, find_project
from remote.errors import ConfigError
from remote.output import print_lines
from remote.tasks.exits import exit_on_error


@task(help={"edit": "open it with $VISUAL or $EDITOR"})
@exit_on_error
def diary(c: Context, edit: bool = False) -> None:
    """Make today's page of the diary from diary/template.md, with the newest runs; tell its path.

    A page that is there is left as it is.
    """
    from remote.operations.diary import entry
    from remote.transport import process

    project = find_project()
    editor = _editor(project) if edit else []
    path = entry(project.root, date.today())
    print_lines(os.path.relpath(path))
    if editor:
        process.become([*editor, str(path)], hint="EDITOR names it.")


def _editor(project: Project) -> list[str]:
    """The words that start the user's editor; raises ConfigError."""
    named = project.settings.get("VISUAL") or project.settings.get("EDITOR") or ""
    try:
        words = shlex.split(named)
    except ValueError:
        words = []
    if not words:
        raise ConfigError(
            f"EDITOR can't be read: {named}." if named else "EDITOR is not set.",
            "Name one, as in EDITOR=nano, or open the page yourself: inv diary prints its path.",
        )
    return words


TASKS = (diary,)
