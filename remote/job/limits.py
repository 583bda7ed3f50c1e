"""Patterns and limits that fields of the protocol share. Lengths are in characters.

What the toolkit or the system makes (ids, versions, states) has a pattern. What users name freely
(paths, parameters, experiments) has a limit alone: it is escaped where it is printed.
"""

from __future__ import annotations

import re

from remote.job.fields import Metadata, list_of, number, text

#: A name, a path, a cause; a whole message; a value that a user typed, which Linux limits likewise
#: (MAX_ARG_STRLEN, execve(2)).
NAME = 4096
MESSAGE = 1 << 16
VALUE = 1 << 20

#: What code may have beyond its commit, in characters.
DIFF = 16 << 20

#: How many of something one job may have: arguments, variables, tags, parameters.
MANY = 10_000

#: Jobs, files or records in one answer.
VERY_MANY = 1_000_000

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
HEX = re.compile(r"[0-9a-f]+")
WORD = re.compile(r"[A-Za-z0-9_.+-]+")

#: A line without control characters, such as a host's name or a version as a program tells it.
LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")


def names() -> Metadata:
    """Names and paths, any number of them."""
    return list_of(text(NAME), VERY_MANY)


def job_id() -> Metadata:
    """The id of a job, which names its folder and its tmux session."""
    return text(128, ID)


def run_id() -> Metadata:
    """The id of an MLflow run."""
    return text(32, HEX)


def line(limit: int = 256) -> Metadata:
    """One line that a program or a system says."""
    return text(limit, LINE)


def moment() -> Metadata:
    """Seconds since 1970, by the server's clock."""
    return number(0, 1e12)


def duration() -> Metadata:
    """How long something took; a clock that is set back makes it negative."""
    return number(-1e12, 1e12)
