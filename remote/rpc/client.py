"""Calling the agent: one ssh, JSON in, JSON out, the agent's own file brought when it is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from remote import errors
from remote.errors import NoAnswer, ProtocolError, RemoteError
from remote.job.messages.base import FRAME, Answer, Failure, Notice, Request
from remote.output import printable_lines, say
from remote.rpc.bundle import contents, digest, packed
from remote.rpc.wire import LONGEST_NOISE, Wire
from remote.transport import process

#: Lengths of the JSON, and of the bytes that follow it.
_HEAD = re.compile(re.escape(FRAME) + rb" (\d{1,12}) (\d{1,18})\n")
_LONGEST_HEAD = len(FRAME) + 33

#: Bytes of JSON in one answer: a list of all jobs of years has less than half of it.
LONGEST_ANSWER = 64 << 20

#: Bytes of a request that may be a word of the command line.
LONGEST_WORD = 4096

#: Letters of the agent's traceback that are shown.
LONGEST_TRACEBACK = 100_000


class AgentBug(Exception):
    """The agent raised what it should not have; the message is its traceback."""


@dataclass
class Reader:
    """Cuts the agent's output into answers as it comes; what stands before the first is noise."""

    noise: bytes = b""
    last: Any = None
    """The JSON of the last answer; None before the first."""
    on_answer: Callable[[Any], None] | None = None
    on_blob: Callable[[bytes], Any] | None = None
    _held: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    """Up to where no head of an answer begins in what is held."""
    _awaited: tuple[int, int] | None = None
    """The lengths of the JSON that comes next, and of the blob behind it; None before its head."""
    _blob_left: int = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the agent's standard output; raises ProtocolError."""
        self._held += piece
        while self._held and self._step():
            pass

    def _step(self) -> bool:
        if self._blob_left:
            taken = self._take(self._blob_left)
            self._blob_left -= len(taken)
            if self.on_blob:
                self.on_blob(taken)
            return True
        if self._awaited is None:
            return self._find_head()
        json_length, blob_length = self._awaited
        if len(self._held) < json_length:
            return False
        self._read_answer(self._take(json_length))
        self._awaited, self._blob_left = None, blob_length
        return True

    def _take(self, count: int) -> bytes:
        """The first bytes that are held, which aren't any more."""
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _find_head(self) -> bool:
        head = _HEAD.search(self._held, self._searched)
        noise = head.start() if head else len(self._held)
        if noise > LONGEST_NOISE:
            raise ProtocolError(
                "The server prints a megabyte and more before it answers.",
                "Does a start-up file of its login shell print without end?",
            )
        if not head:
            self._searched = max(0, noise - _LONGEST_HEAD)
            return False
        json_length, blob_length = int(head[1]), int(head[2])
        if json_length > LONGEST_ANSWER:
            raise ProtocolError(f"The server announces an answer of {json_length} bytes.")
        if blob_length and not self.on_blob:
            raise ProtocolError(
                f"The server announces {blob_length} bytes that were not requested."
            )
        if self.last is None and not self.noise:
            self.noise = bytes(self._held[:noise])
        self._awaited, self._searched = (json_length, blob_length), 0
        del self._held[: head.end()]
        return True

    def _read_answer(self, data: bytes) -> None:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise ProtocolError("The server's answer is no JSON.") from None
        if isinstance(document, dict) and document.keys() == {"notice"}:
            say(Notice.from_json(document["notice"], "notice").words)
            return
        if self.last is not None and not self.on_answer:
            raise ProtocolError("The server answers twice.")
        self.last = document
        if self.on_answer:
            self.on_answer(document)

    @property
    def broken_off(self) -> bool:
        """Whether the bytes that were announced did not all come."""
        return self._blob_left > 0 or self._awaited is not None


@cache
def _files() -> dict[str, bytes]:
    return contents()


@cache
def _file_name() -> str:
    return f"agent-{digest(_files())}.zip"


@dataclass
class Agent:
    """The agent on one machine. `noisy` is known after the first call."""

    wire: Wire
    noisy: bool | None = None

    @property
    def name(self) -> str:
        """The agent's file in the cache, named by its content."""
        return _file_name()

    def call(
        self,
        request: Request[Answer],
        *,
        on_answer: Callable[[Answer], None] | None = None,
        on_blob: Callable[[bytes], Any] | None = None,
    ) -> Answer:
        """The (last) answer to one request; raises what the agent raised.

        `on_answer` gets every answer as it comes, `on_blob` the bytes that follow an answer. Raises
        ProtocolError where an answer isn't as its class says.
        """
        self.wire.connect()
        data = json.dumps({"verb": request.verb, **request.to_json()}).encode("ascii")
        # Standard input is taken once the server says that the program runs: a round trip.
        words = list[str]()
        if request.public and len(data) <= LONGEST_WORD:
            # In letters that every shell takes as they are.
            words, data = ["ask", data.hex()], b""
        take = None if on_answer is None else lambda document: on_answer(_read(request, document))
        # Twice more, at most: for a Python that has to be found, and for the agent's file.
        for number in range(3):
            reader = Reader(on_answer=take, on_blob=on_blob)
            result = self._run(words, data, reader)
            if reader.last is not None or number == 2 or not self._mended(result):
                break
        if reader.last is None or reader.broken_off:
            error = self.wire.failure(result)
            if isinstance(error, NoAnswer):
                raise NoAnswer(error.message, request.repeat)
            raise error
        self.noisy = bool(reader.noise.strip())
        return _read(request, reader.last)

    def _run(self, words: list[str], data: bytes, reader: Reader) -> process.Result:
        argv = self.wire.agent(self.name, *words)
        try:
            return process.feed(argv, reader.feed, stdin=data, works=self.wire.works)
        except process.TooMuch:
            self.wire.hang_up()
            raise

    def _mended(self, result: process.Result) -> bool:
        if "can't open file" in result.stderr:
            self.bring()
            return True
        return self.wire.mend(result)

    def bring(self) -> None:
        """Put this version of the agent into the cache there."""
        self.wire.bring(self.name, packed(_files()))


def _read(request: Request[Answer], document: Any) -> Answer:
    """The answer, checked; raises what is told in its place."""
    if isinstance(document, dict) and "bug" in document:
        # Python prints it as it is, and a server's words must not steer this terminal.
        raise AgentBug("\n" + printable_lines(str(document["bug"])[:LONGEST_TRACEBACK]))
    if isinstance(document, dict) and "error" in document:
        failure = Failure.from_json(document["error"], "error")
        kind = getattr(errors, failure.kind, None)
        if not (isinstance(kind, type) and issubclass(kind, RemoteError)):
            kind = RemoteError
        raise kind(failure.message, failure.hint)
    answer: Answer = request.answer.from_json(document, f"The server's answer to {request.verb}")
    return answer
