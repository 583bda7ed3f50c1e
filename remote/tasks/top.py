"""`inv remote-top`: a dashboard of all servers."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import find_project
from remote.errors import ConfigError
from remote.tasks.declare import command
from remote.tasks.sync import pool_of, server_of

if TYPE_CHECKING:
    from remote.session import TargetSession

#: Terminals of before there were colours, by their names in TERM.
_COLOURLESS = re.compile(r"dumb|vt[0-9]")


@command(help={"target": "a name, a group or an address (default: all named targets)"})
def remote_top(c: Context, target: str = "") -> None:
    """Show jobs, GPUs and queues of all servers on a dashboard, with a key for each command.

    Example: inv remote-top
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigError("A dashboard needs a terminal.", "For scripts: inv remote-ps --json")
    servers = _servers(target)
    if _COLOURLESS.match(os.environ.get("TERM", "dumb")):
        os.environ["NO_COLOR"] = "1"
    try:
        from remote.tasks.dashboard.app import Dashboard
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise ConfigError(
            "The dashboard is drawn by Textual, which is not installed.",
            "Install it: pip install 'remote-gpu-workflow[top]', or in the template: make install",
        ) from None
    from remote.operations.watched_servers import WatchedServers

    watched = WatchedServers(servers)
    dashboard = Dashboard(watched)
    dashboard.run()
    if dashboard.bug:
        raise dashboard.bug
    if dashboard.return_code:
        raise Exit(code=dashboard.return_code)
    if watched.is_asking:
        # Python would wait for the threads that wait for who doesn't answer.
        os._exit(0)


def _servers(target: str) -> list[TargetSession]:
    """Those that are asked for, else all that have a name, else the usual one."""
    everything = target or ("all" if find_project().tool.targets else "")
    return pool_of(everything) or [server_of(everything)]
