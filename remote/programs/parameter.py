"""One papermill parameter: what it is called, its type, and what a value typed for it means."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remote.errors import NotebookError

KINDS = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

#: What Python's own readers raise at text that is too odd, too long or too deep for them.
UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)

#: What a file that isn't of the kind it seems to be makes its reader raise.
MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Parameter:
    """One assignment of the cell tagged `parameters`.

    `kind` is a Python type's name out of KINDS, or "" where nothing tells it.
    `default` is the source text of the default, `comment` what stands behind it.
    `optional` parameters take None too.
    """

    name: str
    kind: str
    default: str
    comment: str = ""
    optional: bool = False

    def convert(self, text: str) -> Any:
        """The value that `text`, as typed in a shell, means; raises NotebookError."""
        if self.optional and text == "None":
            return None
        try:
            return _convert(self.kind, text)
        except ValueError:
            shown = text if len(text) <= 60 else text[:57] + "..."
            raise NotebookError(
                f"Parameter {self.name!r} takes {_DESCRIBED[self.kind]}, not {shown!r}.",
                f"Its default in the notebook is {self.default}.",
            ) from None


_DESCRIBED = {
    "": "a value",
    "str": "a text",
    "int": "a whole number (int)",
    "float": "a number (float)",
    "bool": "true or false (bool)",
    "list": "a list, as JSON: [1, 2]",
    "dict": 'a dict, as JSON: {"a": 1}',
}


def _convert(kind: str, text: str) -> Any:
    if kind == "str":
        return text
    if kind == "bool":
        return _word(text)
    if kind in ("int", "float"):
        return KINDS[kind](text)
    value = _guessed(text)
    if kind and not isinstance(value, KINDS[kind]):
        raise ValueError(text)
    return value


def _word(text: str) -> bool:
    if text.lower() not in WORDS:
        raise ValueError(text)
    return WORDS[text.lower()]


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


def nearest(name: str, parameters: Sequence[Parameter]) -> str:
    """Which of `parameters` somebody who typed `name` may have meant."""
    names = [parameter.name for parameter in parameters]
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=3, cutoff=0.5)
    return f"Did you mean {', '.join(near)}?" if near else f"It takes {', '.join(names)}."


def literal(source: str) -> Any:
    """The value of a default's source text; the text itself where it is no literal of JSON's."""
    try:
        value = ast.literal_eval(source)
        json.dumps(value)
        return value
    except UNREADABLE:
        return source
