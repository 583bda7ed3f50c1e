"""An agent that answers what it likes, and all that it might say, made from the protocol itself."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.job import messages
from remote.job.fields import Field, Misfit
from remote.job.messages.base import FRAME, Request
from remote.job.struct import Struct
from remote.rpc.wire import LocalWire

#: Clears a screen, sets a title, answers as if typed, turns the direction of writing, forges a line.
EVIL = "\x1b[2J\x1b]0;pwned\x07\x9b6n\x90q\u202e\u200b\ud800\r\nforged line\n"

#: The same where a file's name is expected, and where a line is.
EVIL_NAME, EVIL_LINE = EVIL.replace("\ud800", "\udcff"), "\u202e\u200b\ud800\u2028forged line"

#: What a shell, ssh or a format would expand.
LIVELY = "$(id)`id` ${AWS_SECRET_ACCESS_KEY}/../%u{0}\\\"' -o;|&"


@dataclass(frozen=True)
class HostileWire(LocalWire):
    """A machine whose agent runs, for each verb, the shell script of that name in a folder."""

    folder: Path = Path()

    def agent(self, name: str, *words: str) -> list[str]:
        if words:
            asked = json.loads(bytes.fromhex(words[1]))["verb"]
            return ["sh", "-c", 'cd "$0" && exec sh "./$1"', str(self.folder), asked]
        verb = """sed -n 's/^{"verb": "\\([a-z]*\\)".*/\\1/p'"""
        return ["sh", "-c", f'cd "$0" && exec sh "./$({verb})"', str(self.folder)]


@dataclass
class HostileAgent:
    """What such a machine says, in a folder of its own."""

    folder: Path

    def runs(self, verb: str, script: str) -> None:
        """Have shell code answer to a verb."""
        (self.folder / verb).write_text(script)

    def says(self, verb: str, data: bytes) -> None:
        """Have these bytes be the answer."""
        (self.folder / f"{verb}.bytes").write_bytes(data)
        self.runs(verb, f"cat {verb}.bytes")

    def answers(self, verb: str, document: Any, blob: bytes = b"") -> None:
        """Answer with JSON, and with bytes behind it."""
        self.says(verb, framed(json.dumps(document).encode(), blob))


def framed(data: bytes, blob: bytes = b"") -> bytes:
    return b"%s %d %d\n" % (FRAME, len(data), len(blob)) + data + blob


def requests() -> dict[str, type[Request[Any]]]:
    """The class of each verb's request."""
    for module in pkgutil.iter_modules(messages.__path__):
        importlib.import_module(f"{messages.__name__}.{module.name}")
    return {cls.verb: cls for cls in _subclasses(Request) if getattr(cls, "verb", "")}


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for sub in cls.__subclasses__():
        if sub.__module__.startswith(messages.__name__):
            yield from (sub, *_subclasses(sub))


def answer_classes() -> list[type[Struct]]:
    """Every class that an answer is made of."""
    classes: dict[type[Struct], None] = {}
    queue = [cls.answer for cls in requests().values()] + [
        messages.base.Failure,
        messages.base.Notice,
    ]
    while queue:
        cls = queue.pop()
        if cls not in classes:
            classes[cls] = None
            queue += [inner for field in cls.fields.values() for inner in _classes_in(field)]
    return sorted(classes, key=lambda cls: cls.__name__)


def parts_of(field: Field) -> dict[str, Any]:
    """What a field was made with: the item of a list, the pattern of a text."""
    return (
        dict(inspect.getclosurevars(field.read).nonlocals) if inspect.isfunction(field.read) else {}
    )


def _classes_in(field: Field) -> Iterator[type[Struct]]:
    owner = getattr(field.read, "__self__", None)
    if owner is not None:
        yield owner
    for part in parts_of(field).values():
        if isinstance(part, Field):
            yield from _classes_in(part)


def leaves_of(field: Field) -> Iterator[Field]:
    """The fields of single values that it is made of; objects are told of by their class."""
    parts = parts_of(field)
    inner = [parts[name] for name in ("names", "item") if name in parts]
    for part in inner:
        yield from leaves_of(part)
    if not inner and not hasattr(field.read, "__self__"):
        yield field


#: What fits into fields with a pattern.
PLAIN = ("a", "a/b", "0a", "1.0", "/", "/tmp/remote-serve-a/socket", "queued", "code", "filled")


def sample(field: Field, text: str) -> Any:
    """JSON that a field takes, with `text` wherever any text fits."""
    owner, parts = getattr(field.read, "__self__", None), parts_of(field)
    if owner is not None:
        return full(owner, text)
    if "names" in parts:
        return {sample(parts["names"], text): sample(parts["item"], text)}
    if "item" in parts:
        item = sample(parts["item"], text)
        return [item] if "limit" in parts else item
    if "allowed" in parts:
        return sorted(parts["allowed"])[0]
    candidates = (text, EVIL_NAME, EVIL_LINE, *PLAIN, 1, False)
    return next(value for value in candidates if fits(field, value))


def fits(field: Field, value: Any) -> bool:
    try:
        field.read(value)
    except Misfit:
        return False
    return True


def full(cls: type[Struct], text: str) -> dict[str, Any]:
    """An answer with a value in each field."""
    return {name: sample(field, text) for name, field in cls.fields.items()}
