"""What all requests share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Type, TypeVar

from remote.job.fields import Metadata, text
from remote.job.limits import MESSAGE

#: What stands before each answer of the agent on its standard output.
FRAME = b"==remote-agent-answer=="

Answer = TypeVar("Answer")

_KEY = re.compile(r"[0-9a-f]{16}")


class Request(Generic[Answer]):
    """Something asked of the agent by its `verb`; what comes back is an `answer`."""

    verb: ClassVar[str]
    answer: ClassVar[Type[Any]]


def target_key() -> Metadata:
    """What a target is called by its client: the server keeps a link of that name to its root."""
    return text(16, _KEY)


class AnswerWithFile(NamedTuple):
    """An answer that a file's bytes follow; the file is removed when it was sent."""

    answer: Any
    file: Path


@dataclass(frozen=True)
class Failure:
    """In the place of an answer: an error for the user. `kind` is a class of remote.errors."""

    kind: str = field(metadata=text(64, re.compile(r"[A-Za-z_]+")))
    message: str = field(metadata=text(MESSAGE))
    hint: str = field(default="", metadata=text(MESSAGE))
