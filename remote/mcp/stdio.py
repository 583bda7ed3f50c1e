"""The MCP server: its tools on standard input and output, which belong to the protocol alone.

The SDK (https://py.sdk.modelcontextprotocol.io) leads whatever else is printed to standard error.
"""

from __future__ import annotations

import sys
from argparse import Namespace

from remote.errors import ConfigError
from remote.output import say

ABOUT = "Serve push, run, sweep, ps, log, wait, stop, pull and so on to an MCP client, over stdio."


def serve(arguments: Namespace) -> int:
    """Serve until the client closes standard input; the exit code. Raises ConfigError."""
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError:
        raise ConfigError(
            "The MCP server needs the package mcp, version 2 or newer.",
            "Install it: uv pip install 'mcp>=2'",
        ) from None
    from remote.mcp.registry import server

    if sys.stdin.isatty():
        say("An MCP client starts this, and talks to it on standard input and output.")
    server().run("stdio")
    return 0
