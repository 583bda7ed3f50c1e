"""`remote-gpu-workflow`, `python -m remote`: what is typed outside of a project's own tasks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from remote import __version__
from remote.errors import RemoteError
from remote.output import say


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was typed; the exit code comes back."""
    from remote.adopt import command
    from remote.mcp import stdio

    parser = ArgumentParser(
        "remote-gpu-workflow",
        description="Run a project's notebooks and scripts on GPU servers over SSH.",
        epilog="In a project that has the toolkit, `inv --list` shows the commands.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands")
    adopt = commands.add_parser("adopt", help=command.ABOUT, description=command.ABOUT)
    command.add_arguments(adopt)
    adopt.set_defaults(act=command.adopt)
    mcp = commands.add_parser("mcp", help=stdio.ABOUT, description=stdio.ABOUT)
    mcp.set_defaults(act=stdio.serve)
    arguments = parser.parse_args(argv)
    if "act" not in arguments:
        parser.print_help()
        return 0
    try:
        code: int = arguments.act(arguments)
        return code
    except RemoteError as error:
        say(*str(error).split("\n"))
        return 2
    except KeyboardInterrupt:
        say("", "Interrupted.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
