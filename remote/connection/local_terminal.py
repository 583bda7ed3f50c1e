"""The terminal on this machine that an ssh runs on, for a command that wants one there."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from invoke.terminals import pty_size

from remote.transport.process import DEVNULL, Process, start


def on_terminal(argv: list[str]) -> tuple[Process[bytes], int]:
    """Start ssh on a terminal of its own, as large as ours; returns its other end, too.

    The terminal that the command sees is made on the server, with this one's size and modes.
    """
    outer, inner = os.openpty()
    try:
        columns, rows = pty_size()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        return start(argv, stdin=inner, stdout=inner, stderr=DEVNULL, apart=True), outer
    except BaseException:
        os.close(outer)
        raise
    finally:
        os.close(inner)


def is_cooked(terminal: int) -> bool:
    """Whether it still gathers lines and echoes them: ssh has not taken it over yet."""
    modes: int = termios.tcgetattr(terminal)[3]
    return bool(modes & termios.ICANON)
