"""What is typed for a program: parameters, their types, and what a value typed for one means."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.errors import JobError, NotebookError, RemoteError

KINDS = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_DESCRIBED = {
    "": "a value",
    "str": "a text",
    "int": "a whole number (int)",
    "float": "a number (float)",
    "bool": "true or false (bool)",
    "list": "a list, as JSON: [1, 2]",
    "dict": 'a dict, as JSON: {"a": 1}',
}

#: What Python's own readers raise at text that is too odd, too long or too deep for them.
UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)

#: What a file that isn't of the kind it seems to be makes its reader raise.
MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Asked:
    """What is typed for a program. `output` is what an executed notebook is to be called."""

    parameters: Mapping[str, Any]
    arguments: Sequence[str]
    output: str


@dataclass(frozen=True)
class Parameter:
    """One assignment of the cell tagged `parameters`.

    `kind` is a Python type's name out of KINDS, or "" where nothing tells it.
    `default` is the source text of the default, `comment` what stands behind it.
    `optional` parameters take None too, and those with `choices` nothing but one of these.
    """

    name: str
    kind: str
    default: str
    comment: str = ""
    optional: bool = False
    choices: tuple[Any, ...] = ()

    def convert(self, text: str) -> Any:
        """The value that `text`, as typed in a shell, means; raises NotebookError."""
        if self.optional and text == "None":
            return None
        if self.choices:
            return self._choice(text)
        try:
            if self.kind == "bool":
                return WORDS[text.lower()]
            if self.kind in ("int", "float", "str"):
                return KINDS[self.kind](text)
            value = _guessed(text)
            if self.kind and not isinstance(value, KINDS[self.kind]):
                raise ValueError(text)
            return value
        except (KeyError, ValueError):
            raise NotebookError(
                f"Parameter {self.name!r} takes {_DESCRIBED[self.kind]}, not {shortened(text)!r}.",
                f"Its default in the notebook is {self.default}.",
            ) from None

    def _choice(self, text: str) -> Any:
        for value in self.choices:
            is_bool = isinstance(value, bool)
            if text == str(value) or is_bool and WORDS.get(text.lower()) is value:
                return value
        raise NotebookError(
            f"Parameter {self.name!r} takes one of {', '.join(map(str, self.choices))},"
            f" not {shortened(text)!r}."
        )


def _guessed(text: str) -> Any:
    """JSON where it is JSON, a Python literal where it is one, else the text itself.

    A literal that JSON would change (a tuple, a key that is a number) is none of these.
    """
    for read_value in (json.loads, ast.literal_eval):
        try:
            value = read_value(text)
            if repr(json.loads(json.dumps(value))) == repr(value):
                return value
        except UNREADABLE:
            continue
    return text


def literal(source: str) -> Any:
    """The value of a default's source text; the text itself where it is no literal of JSON's."""
    try:
        value = ast.literal_eval(source)
        json.dumps(value)
        return value
    except UNREADABLE:
        return source


def named(
    name: str, parameters: Sequence[Parameter], owner: str, error: type[RemoteError], none: str
) -> Parameter:
    """The one called `name` (`-` and `_` are the same); raises `error`, with the nearest ones.

    `owner` is whose parameters they are, and `none` the hint where it has none at all.
    """
    for parameter in parameters:
        if parameter.name.replace("_", "-") == name.replace("_", "-"):
            return parameter
    names = [parameter.name for parameter in parameters]
    near = nearest(name.replace("-", "_"), names, cutoff=0.5)
    hint = f"It takes {', '.join(names)}." if names else none
    if near:
        hint = f"Did you mean {', '.join(near)}?"
    raise error(f"{owner} has no parameter {name!r}.", hint)


def nearest(name: str, names: Sequence[str], cutoff: float = 0.6) -> list[str]:
    """Up to three of `names` that are spelled much like `name`, in whatever case."""
    plain = [other.lower() for other in names]
    near = difflib.get_close_matches(name.lower(), plain, n=3, cutoff=cutoff)
    return [other for word in dict.fromkeys(near) for other in names if other.lower() == word]


def shortened(text: str) -> str:
    """What is typed, as a message may repeat it."""
    return text if len(text) <= 60 else text[:57] + "..."


def is_file(path: Path) -> bool:
    """Whether it is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def below(root: Path, path: Path) -> Path:
    """`path` as it is called in the project at `root`; raises JobError where it lies elsewhere."""
    resolved, top = path.resolve(), root.resolve()
    if not resolved.is_relative_to(top):
        raise JobError(
            f"{path} lies outside of the project {top}.",
            "Only what is pushed can run there: put it below the project's root.",
        )
    return resolved.relative_to(top)
