"""meta.yaml and its kin: the YAML that MLflow writes into a file store, and no other.

MLflow dumps flat dictionaries with PyYAML's safe dumper (`mlflow.utils.yaml_utils`, 1.0 to 3.17):
scalars plain or quoted and folded at 80 columns, and nothing deeper than the tags of an input. What
is written otherwise (a list, as before 1.0; a key of more than 128 characters; the line breaks of
Unicode) is refused, never guessed. PyYAML itself would have to travel to each server, takes thirty
times as long, and can be led to unfold a few lines into terabytes, since it follows references.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, Mapping, Match, Optional, Tuple

from remote.tracking.filestore.layout import Unreadable, read
from remote.tracking.filestore.metric_history import fits

#: What YAML doesn't allow unescaped, and the line breaks that it knows beside `\n`.
_STRANGE = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_QUOTED = r"""'[^']*(?:''[^']*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*\""""
_ENTRY = re.compile(
    rf"""({_QUOTED}|[^ \n'"][^\n:]*(?::(?![ \n])[^\n:]*)*):
    (?:[ ]({_QUOTED}|[^ \n'"][^\n]*(?:\n[ ][ ][^ \n][^\n]*)*))?\n
    ((?:[ ][ ][^\n]*\n|\n)*)""",
    re.VERBOSE,
)
"""A key, a scalar with its further lines, and the indented lines after it."""

_FOLD = r" *\n[ \n]*"
_ESCAPE = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|\n +(?=[^ \n])|[^\n]|)|" + _FOLD
)
_ESCAPED = dict(zip('0abtnvfre "/\\N_LP', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029'))

_JSON = re.compile(
    r"null|true|false|\[\]|\{\}|-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]+(?:e[-+][0-9]+)?)?"
)
_PLAIN = re.compile(r"(?!---|\.\.\.)(?:[^ \-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^ ])).*(?<![ :])")
_TYPED = re.compile(
    r"""~|<<|=
    |null|Null|NULL|true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF
    |[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)
    |[-+]?[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+][0-9]+)?|(?::[0-5]?[0-9])+\.[0-9_]*)
    |\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)
    |[0-9]{4}-[0-9]{2}-[0-9]{2}
    |[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ ]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?
     (?:[ ]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?
    """,
    re.VERBOSE,
)
"""What YAML 1.1 takes for something else than text, so that no dumper leaves such a text unquoted."""


def read_mapping(path: str) -> Dict[str, Any]:
    """The mapping in a file. Raises Unreadable and OSError."""
    return parse_mapping(read(path))


def parse_mapping(data: bytes) -> Dict[str, Any]:
    """What PyYAML's safe loader makes of it; raises Unreadable for what MLflow doesn't write."""
    if not data.strip():
        raise Unreadable("it is empty")
    mapping: Dict[str, Any] = {}
    try:
        text = data.decode("utf-8")
        if _STRANGE.search(text):
            raise ValueError("a character that YAML escapes")
        for key, scalar, block in _entries(text):
            if scalar is None:
                inner = _entries(re.sub("^  ", "", block, flags=re.MULTILINE))
                mapping[key] = {name: _value(text or "") for name, text, _ in inner}
            else:
                mapping[key] = _value(scalar)
    except (ValueError, LookupError, OverflowError) as error:
        raise Unreadable("it isn't YAML as MLflow writes it") from error
    return mapping


def text(meta: Mapping[str, Any], name: str, default: Optional[str] = None) -> Optional[str]:
    """The text of a field; a number counts as its text."""
    value = meta.get(name)
    if isinstance(value, (dict, list)):
        raise Unreadable(f"its {name} isn't text")
    return default if value is None else str(value)


def whole(meta: Mapping[str, Any], name: str, default: Optional[int] = None) -> Optional[int]:
    value = meta.get(name)
    if value is None:
        return default
    try:
        number = int(value)
        if not fits(number):
            raise OverflowError("more than 64 bits")
    except (TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"its {name} isn't a number") from error
    return number


def status(meta: Mapping[str, Any], known: Mapping[int, str]) -> int:
    """The number of a status; MLflow takes a missing one for the first."""
    number = whole(meta, "status", 1)
    if number is None or number not in known:
        raise Unreadable(f"its status is {number}")
    return number


def lifecycle(meta: Mapping[str, Any]) -> str:
    return "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"


def _entries(text: str) -> Iterator[Tuple[str, Optional[str], str]]:
    """(key, scalar as it is written, indented lines) of each; one of the last two is there."""
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise ValueError(f"no entry begins at {at}")
        written, scalar, block = entry.groups()
        key = _value(written)
        if not isinstance(key, str) or "\n" in written or (scalar is None) == (not block):
            raise ValueError(f"not a simple entry: {written}")
        yield key, scalar, block
        at = entry.end()


def _value(written: str) -> Any:
    """Of a whole scalar: one that begins with a quote ends with it."""
    if written[:1] == "'":
        return re.sub(_FOLD, _folded, written[1:-1]).replace("''", "'")
    if written[:1] == '"':
        return _ESCAPE.sub(_unescaped, written[1:-1])
    if _JSON.fullmatch(written):
        return json.loads(written)
    plain = written.replace("\n  ", " ")
    if not _PLAIN.fullmatch(plain) or ": " in plain or " #" in plain or _TYPED.fullmatch(plain):
        raise ValueError(f"not a plain scalar: {plain}")
    return plain


def _folded(match: Match[str]) -> str:
    """One line break is a space, of several the first is none."""
    breaks = match.group()
    if breaks.endswith("\n"):
        raise ValueError("a line that isn't indented")
    return "\n" * (breaks.count("\n") - 1) or " "


def _unescaped(match: Match[str]) -> str:
    written = match.group()
    if written[0] != "\\":
        return _folded(match)
    if written[1:2] == "\n":
        return ""
    char = chr(int(written[2:], 16)) if len(written) > 2 else _ESCAPED[written[1:]]
    char.encode("utf-8")  # half a surrogate pair can be written in YAML, and in no database
    return char
