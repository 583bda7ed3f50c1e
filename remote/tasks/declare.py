"""How the toolkit's tasks are declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from invoke.tasks import Task

from remote.tasks.exits import Body, exit_on_error
from remote.tasks.own_parser import OwnParserTask
from remote.tasks.result import with_json

#: What arguments mean that several tasks have, by their flags.
HELP = {
    "target": "[user@]host:/dir, /dir, or a name (default: TARGET_DIR, else the last target)",
    "job": "a job's id, a unique part of it, or `last` (the default)",
    "force": "also jobs that were not pulled",
    "dry-run": "show what would be done, change nothing",
    "registry": "registered models too (REMOTE_REGISTRY=yes in .env: always)",
    "entry-point": "the entry point of an MLproject (default: main)",
    "json": "print the result as JSON, and only that (docs/json.md)",
}


def command(
    *, help: Mapping[str, str] | None = None, json: bool = False, **settings: Any
) -> Callable[[Body], Task[Any]]:
    """Invoke's `task` for the tasks of the toolkit, which end as `exit_on_error` says.

    `help` tells only what HELP doesn't. With `json`, what the task tells as its result can be had
    as JSON.
    """

    def declared(body: Body) -> Task[Any]:
        body = with_json(body) if json else body
        flags = [name.replace("_", "-") for name in inspect.signature(body).parameters]
        known = {flag: HELP[flag] for flag in flags if flag in HELP}
        if "positional" not in settings:
            # Invoke would take what has no default for positional.
            settings["positional"] = ()
        return OwnParserTask(exit_on_error(body), help={**known, **(help or {})}, **settings)

    return declared
