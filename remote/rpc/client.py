"""Calling the agent: one ssh, JSON in, JSON out, the agent's own file brought when it is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any

from remote import errors
from remote.errors import RemoteError
from remote.rpc.bundle import contents, digest, packed
from remote.rpc.wire import NoPython, Wire
from remote.transport import process

FRAME = b"==remote-agent-answer=="

_HEAD = re.compile(re.escape(FRAME) + rb" (\d+) (\d+)\n")


class AgentBug(Exception):
    """The agent raised what it should not have; the message is its traceback."""


@dataclass
class Reader:
    """Cuts the agent's output into answers as it comes; what stands before the first is noise."""

    noise: bytes = b""
    answers: list[dict[str, Any]] = field(default_factory=list)
    on_answer: Callable[[dict[str, Any]], None] | None = None
    blob: IO[bytes] | None = None
    _held: bytes = b""
    _blob_left: int = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the agent's standard output."""
        self._held += piece
        while self._held and self._step():
            pass

    def _step(self) -> bool:
        if self._blob_left:
            taken, self._held = self._held[: self._blob_left], self._held[self._blob_left :]
            self._blob_left -= len(taken)
            if self.blob:
                self.blob.write(taken)
            return True
        head = _HEAD.search(self._held)
        if not head or len(self._held) < head.end() + int(head[1]):
            return False
        if not self.answers:
            self.noise = self._held[: head.start()]
        end = head.end() + int(head[1])
        self._take(json.loads(self._held[head.end() : end]))
        self._held, self._blob_left = self._held[end:], int(head[2])
        return True

    @property
    def broken_off(self) -> bool:
        """Whether the bytes that were announced did not all come."""
        return self._blob_left > 0 or _HEAD.search(self._held) is not None

    def _take(self, value: dict[str, Any]) -> None:
        self.answers = [value]
        if self.on_answer:
            self.on_answer(value)


@dataclass
class Agent:
    """The agent on one machine. `noisy` is known after the first call.

    `bring_python` is called where the machine has no Python for it, with that machine.
    """

    wire: Wire
    noisy: bool | None = None
    bring_python: Callable[[dict[str, str]], None] | None = None

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return contents()

    @property
    def name(self) -> str:
        """The agent's file in the cache, named by its content."""
        return f"agent-{digest(self._files)}.zip"

    def call(
        self,
        verb: str,
        *,
        on_answer: Callable[[dict[str, Any]], None] | None = None,
        blob: IO[bytes] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """The (last) answer to one request; raises what the agent raised.

        `on_answer` gets every answer as it comes; `blob` the bytes that follow an answer.
        """
        self.wire.connect()
        data = json.dumps({"verb": verb, **request}).encode("ascii")
        reader, result = self._exchange(data, on_answer, blob)
        for _ in range(2):
            if reader.answers or not self._mended(result):
                break
            reader, result = self._exchange(data, on_answer, blob)
        if not reader.answers or reader.broken_off:
            raise self.wire.failure(result)
        self.noisy = bool(reader.noise.strip())
        return _checked(reader.answers[-1])

    def _exchange(
        self,
        data: bytes,
        on_answer: Callable[[dict[str, Any]], None] | None,
        blob: IO[bytes] | None,
    ) -> tuple[Reader, process.Result]:
        reader = Reader(on_answer=on_answer, blob=blob)
        return reader, process.feed(self.wire.agent(self.name), reader.feed, stdin=data)

    def _mended(self, result: process.Result) -> bool:
        if "can't open file" in result.stderr:
            self.bring()
            return True
        try:
            return self.wire.mend(result)
        except NoPython as error:
            if not (self.bring_python and error.machine):
                raise
            self.bring_python(error.machine)
            return self.wire.mend(result)

    def bring(self) -> None:
        """Put this version of the agent into the cache there."""
        self.wire.bring(self.name, packed(self._files))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "bug" in answer:
        raise AgentBug("\n" + answer["bug"])
    if "error" in answer:
        kind = getattr(errors, answer["error"]["kind"], None)
        if not (isinstance(kind, type) and issubclass(kind, RemoteError)):
            kind = RemoteError
        raise kind(answer["error"]["message"], answer["error"]["hint"])
    return answer
