"""The exception that a program's code ended by, as the end of its log shows it. Pure."""

from __future__ import annotations

import re

from remote.files import shortened, without_controls

#: Letters of an exception's message that are told.
LONGEST = 200

#: What begins a traceback of Python's, or, behind the exception's name, one of IPython's.
_BEGIN = b"Traceback (most recent call last)"

#: The line that ends one. Files and source lines before it are indented, or hold a blank.
_END = re.compile(rb"^([A-Za-z_][\w.]*)(?:: ?(.*))?$", re.MULTILINE)

#: What can't be compiled has no traceback.
_SYNTAX = re.compile(rb"^((?:Syntax|Indentation|Tab)Error): (.*)$", re.MULTILINE)

#: What `run_notebook` writes above a notebook's traceback.
_CELL = re.compile(rb"^In cell \[(\d+)\]:$", re.MULTILINE)


def last_error(log: bytes) -> str:
    """Such as `ValueError: my own failure (cell 4)`; empty where the log shows no traceback."""
    place = log.rfind(_BEGIN)
    if place >= 0:
        end = _END.search(log, log.find(b"\n", place))
    else:
        end = next(iter(list(_SYNTAX.finditer(log))[-1:]), None)
    if end is None:
        return ""
    name, message = map(_plain, (end[1], end[2] or b""))
    said = f"{name}: {message}" if message else name
    cells = _CELL.findall(log, 0, end.start())
    cell = f" (cell {cells[-1].decode()})" if cells else ""
    return shortened(said, LONGEST) + cell


def _plain(part: bytes) -> str:
    """Its text, without control characters."""
    return without_controls(part.decode("utf-8", "replace").strip())
