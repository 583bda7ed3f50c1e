"""What all requests share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, NamedTuple, Optional, Type, TypeVar

from remote.job import fields
from remote.job.fields import MESSAGE
from remote.job.struct import Struct

#: What stands before each answer of the agent on its standard output.
FRAME = b"==remote-agent-answer=="

Answer = TypeVar("Answer")


#: What is told where no answer came, by what asking again does: nothing is changed; done twice it is
#: as done once; done twice it is so too, but `last` may be another job by then.
READS = "Type the same command again."
SAME_TWICE = "Whether it was done is unknown. Type the same command again: that does no harm."
LOOK_FIRST = "Whether it was done is unknown: inv remote-ps shows it."


class Request(Struct, Generic[Answer]):
    """Something asked of the agent by its `verb`; what comes back is an `answer`.

    `repeat` is what the user is told where none came. A submission alone would do harm when it is
    asked twice: it carries an id. One that is `public` may be read by whoever lists the server's
    processes, and spares a round trip.
    """

    verb: ClassVar[str]
    answer: ClassVar[Type[Any]]
    repeat: ClassVar[str]
    public: ClassVar[bool]

    def __init_subclass__(
        cls,
        verb: str = "",
        answer: Type[Any] = Struct,
        repeat: str = READS,
        public: bool = False,
    ) -> None:
        super().__init_subclass__()
        cls.verb, cls.answer, cls.repeat, cls.public = verb, answer, repeat, public


class TargetRequest(Request[Answer]):
    """One about a target."""

    key: str = fields.text(16, re.compile(r"[0-9a-f]{16}"))
    """What its client calls it: the server keeps a link of that name to its root."""


class AnswerWithFile(NamedTuple):
    """An answer that a file's bytes follow; the file is removed when it was sent.

    `lock` is held until then.
    """

    answer: Any
    file: Path
    lock: Optional[IO[Any]] = None


class Notice(Struct):
    """Before an answer, as `{"notice": …}`: what the agent waits for, in words for the user."""

    words: str = fields.text(MESSAGE)


class Failure(Struct):
    """In the place of an answer: an error for the user. `kind` is a class of remote.errors."""

    kind: str = fields.text(64, re.compile(r"[A-Za-z_]+"))
    message: str = fields.text(MESSAGE)
    hint: str = fields.text(MESSAGE, default="")
