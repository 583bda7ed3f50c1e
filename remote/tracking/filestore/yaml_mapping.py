"""meta.yaml and its kin: the YAML that MLflow writes into a file store, and no other.

MLflow dumps dictionaries with PyYAML's safe dumper in block style (`mlflow.utils.yaml_utils`, all
versions): mappings, lists, scalars in one of three styles, folded at 80 columns; no anchors, no
comments, no flow style but `[]` and `{}`. What is written otherwise is refused, never guessed.

PyYAML itself would have to travel to each server, in pure Python, where it takes a millisecond and
a half for a file; this takes some hundredths of one, and can't be led to unfold a few lines into
terabytes, since it knows no references.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Match, Optional

from remote.tracking.filestore.metric_history import fits
from remote.tracking.filestore.scan import VALUE_LIMIT, Unreadable, read

_DEEPEST = 100
"""Columns that a block may be indented by: fifty levels."""

#: The characters that YAML takes for line breaks, and those that it allows unescaped.
_BREAK = "\n\x85\u2028\u2029"
_STRANGE = re.compile(
    "[^\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)

_SINGLE = r"'[^']*(?:''[^']*)*'"
_DOUBLE = r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"'
_KEY = re.compile(rf"""({_SINGLE}|{_DOUBLE}|[^\n'"][^\n]*?):(?=[ \n])""")
_QUOTED = re.compile(rf"({_SINGLE}|{_DOUBLE})(?=\n)")
_EMPTY: Dict[str, type] = {"[]": list, "{}": dict}

_FOLD = rf"[ \t]*[{_BREAK}][ \t{_BREAK}]*"
_ESCAPE = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}"
    rf"|\n +(?![ \t{_BREAK}])|[^\n]|)|{_FOLD}"
)
_FOLDED = re.compile(_FOLD)
_ESCAPED = dict(zip('0abtnvfre "/\\N_LP', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029'))

_PLAIN = re.compile(r"(?:[^ \-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^ ])).*(?<![ :])\Z")
_NOT_PLAIN = re.compile(": | #|[\x85\u2028\u2029]")
_WORDS = {"null": None, "true": True, "false": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z")
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+(?:e[-+][0-9]+)?\Z")
_TYPED = re.compile(
    r"""~|<<|=
    |(?:null|Null|NULL|true|True|TRUE|false|False|FALSE)
    |(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)
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


def read_mapping(path: str, limit: int = VALUE_LIMIT) -> Dict[str, Any]:
    """The mapping in a file of at most `limit` bytes. Raises Unreadable and OSError."""
    data = read(path, limit)
    if not data.strip():
        raise Unreadable("it is empty")
    return parse_mapping(data)


def parse_mapping(data: bytes) -> Dict[str, Any]:
    """What PyYAML's safe loader makes of the text; raises Unreadable for what MLflow doesn't write."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("it isn't text") from error
    if _STRANGE.search(text) or not text.endswith("\n"):
        raise _foreign()
    parser = _Parser(text)
    mapping = parser.mapping(0)
    if parser.at != len(text) - 1:
        raise _foreign()
    return mapping


def text(meta: Mapping[str, Any], *names: str, default: Optional[str] = None) -> Optional[str]:
    """The first of several fields that has a value; a number counts as its text."""
    value = next((meta[name] for name in names if meta.get(name) not in (None, "")), None)
    if value is None:
        return "" if any(meta.get(name) == "" for name in names) else default
    try:
        if isinstance(value, (dict, list)):
            raise ValueError("not a scalar")
        # Half a surrogate pair can be written in YAML, and in no database.
        str(value).encode("utf-8")
    except ValueError as error:
        raise Unreadable(f"its {names[0]} isn't text") from error
    return str(value)


def whole(meta: Mapping[str, Any], *names: str, default: Optional[int] = None) -> Optional[int]:
    """The first of several fields that has a value."""
    value = next((meta[name] for name in names if meta.get(name) is not None), default)
    if value is None:
        return None
    try:
        number = int(value)
        if not fits(number):
            raise OverflowError("more than 64 bits")
    except (TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"its {names[0]} isn't a number") from error
    return number


def lifecycle(meta: Mapping[str, Any]) -> str:
    return "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"


def _foreign() -> Unreadable:
    return Unreadable("it isn't YAML as MLflow writes it")


class _Parser:
    """Reads a block from position `at` on, up to the line break that it ends with.

    Whoever called looks at what follows; what fits nowhere is left over in the end.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def mapping(self, column: int) -> Dict[str, Any]:
        """Keys at this column, the first of them from here on."""
        mapping: Dict[str, Any] = {}
        margin = "\n" + " " * column
        while True:
            key = self._key(column)
            mapping[key] = self._value(column)
            after = self.at + len(margin)
            if not self.text.startswith(margin, self.at) or self.text[after : after + 1] in " ":
                return mapping
            if self.text.startswith("- ", after):
                return mapping
            self.at = after

    def _key(self, column: int) -> str:
        if self.text.startswith("? ", self.at):
            # How a key of more than 128 characters, or of several lines, is written.
            self.at += 2
            key, end = self._scalar(column), f"\n{' ' * column}:"
            if not self.text.startswith(end, self.at):
                raise _foreign()
            self.at += len(end)
        else:
            match = _KEY.match(self.text, self.at)
            if match is None:
                raise _foreign()
            key, self.at = _value_of(match.group(1)), match.end()
        if not isinstance(key, str) or key.startswith("--- "):
            raise _foreign()
        return key

    def _value(self, column: int) -> Any:
        """Of a key at this column: on its line, or as a block on the next ones."""
        if self.text.startswith(" ", self.at):
            self.at += 1
            return self._scalar(column)
        start = self.at + 1
        while self.text.startswith(" ", start):
            start += 1
        inner = start - self.at - 1
        is_list = self.text.startswith("- ", start)
        if inner > column or (is_list and inner == column):
            self.at = start
            return self._block(inner)
        return None

    def _block(self, column: int) -> Any:
        """A list or a mapping that begins here, or a scalar in a list."""
        if column > _DEEPEST:
            raise Unreadable("it is nested too deeply")
        if self.text.startswith("- ", self.at):
            return self._list(column)
        if self.text.startswith("? ", self.at) or _KEY.match(self.text, self.at):
            return self.mapping(column)
        return self._scalar(column - 2)

    def _list(self, column: int) -> List[Any]:
        items = []
        margin = f"\n{' ' * column}"
        while True:
            self.at += 2
            items.append(self._block(column + 2))
            if not self.text.startswith(margin + "- ", self.at):
                return items
            self.at += len(margin)

    def _scalar(self, column: int) -> Any:
        """Its further lines are indented by more than this column."""
        quoted = self.text[self.at] in "'\"" and _QUOTED.match(self.text, self.at)
        if quoted:
            self.at = quoted.end()
            return _value_of(quoted.group(1))
        end = self.text.index("\n", self.at)
        lines = [self.text[self.at : end]]
        margin = "\n" + " " * (column + 1)
        while self.text.startswith(margin, end):
            start, end = end + len(margin), self.text.index("\n", end + 1)
            lines.append(self.text[start:end].strip(" "))
        self.at = end
        return _plain(" ".join(lines))


def _value_of(text: str) -> Any:
    """Of a whole scalar: one that begins with a quote ends with it."""
    if text[0] == "'":
        return _fold(text[1:-1]).replace("''", "'")
    if text[0] == '"':
        return _ESCAPE.sub(_unescape, text[1:-1])
    return _plain(text)


def _plain(text: str) -> Any:
    if len(text) > 5 and text.isidentifier():
        return text  # most keys: no word with a meaning of its own is as long
    if _INTEGER.match(text):
        return int(text)
    if text in _WORDS:
        return _WORDS[text]
    if text in _EMPTY:
        return _EMPTY[text]()
    if _DECIMAL.match(text):
        return float(text)
    if not _PLAIN.match(text) or _NOT_PLAIN.search(text) or _TYPED.fullmatch(text):
        raise _foreign()
    return text


def _fold(text: str) -> str:
    return _FOLDED.sub(_line_breaks, text) if "\n" in text or not text.isascii() else text


def _line_breaks(match: Match[str]) -> str:
    """One line break is a space, of several the first is none; those of Unicode are kept."""
    written = match.group()
    if written[-1] in _BREAK:
        raise _foreign()
    first, *others = ("\n" if char == "\x85" else char for char in written if char in _BREAK)
    if first == "\n":
        first = "" if others else " "
    return first + "".join(others)


def _unescape(match: Match[str]) -> str:
    written = match.group()
    if written[0] != "\\":
        return _line_breaks(match)
    if written[1:2] == "\n":
        return ""
    if len(written) > 2:
        try:
            return chr(int(written[2:], 16))
        except (ValueError, OverflowError) as error:
            raise _foreign() from error
    if written[1:] not in _ESCAPED:
        raise _foreign()
    return _ESCAPED[written[1:]]
