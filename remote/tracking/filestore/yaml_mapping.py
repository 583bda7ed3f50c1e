"""meta.yaml and its kin: a mapping of plain values.

PyYAML in pure Python takes a millisecond and a half for each, so lines as MLflow writes them are
read here, and whatever is in any way out of the ordinary is left to PyYAML.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional

from remote.tracking.filestore.scan import VALUE_LIMIT, Unavailable, Unreadable, read

_UNFOLDED = 64 * VALUE_LIMIT
"""Bytes that a file may come to once its references are followed."""
_DEPTH = 100

_PRINTABLE = re.compile(rb"[\x20-\x7e\n]+\n\Z")
_LINE = re.compile(r"((?:  )*)([A-Za-z_][A-Za-z0-9_.]{0,99}):(?: (.+))?\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_QUOTED = re.compile(r"'([^']*)'\Z")
_ID = re.compile(r"(?!0b)(?=[0-9]*[a-f])[0-9a-f]{32}\Z")
_TEXT = re.compile(r"(?:file://(?=/))?[A-Za-z/][A-Za-z0-9_./%@+=~-]*(?: [A-Za-z0-9_./%@+=~-]+)*\Z")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_DECLINED = object()
_OTHERS: Dict[str, Any] = {"null": None, "true": True, "false": False}


def read_mapping(path: str, limit: int = VALUE_LIMIT) -> Dict[str, Any]:
    """Raises Unreadable and OSError."""
    data = read(path, limit)
    if not data.strip():
        raise Unreadable("it is empty")
    found = plain(data)
    return found if found is not None else _by_pyyaml(data)


def plain(data: bytes) -> Optional[Dict[str, Any]]:
    """What PyYAML's safe loader makes of the text, or None: ask it."""
    if not _PRINTABLE.match(data):
        return None
    found: Dict[str, Any] = {}
    open_maps: List[Dict[str, Any]] = [found]
    last_key = ""
    for line in data.decode("ascii")[:-1].split("\n"):
        match = _LINE.match(line)
        if match is None or match.group(2).lower() in _NOT_TEXT:
            return None
        depth, key, text = len(match.group(1)) // 2, match.group(2), match.group(3)
        if depth == len(open_maps) and last_key:
            inner: Dict[str, Any] = {}
            open_maps[-1][last_key] = inner
            open_maps.append(inner)
        elif depth >= len(open_maps):
            return None
        del open_maps[depth + 1 :]
        value = None if text is None else _value(text)
        if value is _DECLINED:
            return None
        open_maps[-1][key] = value
        last_key = key if text is None else ""
    return found


def _value(text: str) -> Any:
    if _NUMBER.match(text):
        return int(text)
    quoted = _QUOTED.match(text)
    if quoted:
        return quoted.group(1)
    if text in _OTHERS:
        return _OTHERS[text]
    if text in ("[]", "{}"):
        return [] if text == "[]" else {}
    if _ID.match(text) or (_TEXT.match(text) and text.lower() not in _NOT_TEXT):
        return text
    return _DECLINED


def _by_pyyaml(data: bytes) -> Dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise Unavailable("PyYAML isn't there to read it") from error
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = data.decode("utf-8")
        _refuse_depth(yaml, content, loader)
        found = yaml.load(content, Loader=loader)
    except Unreadable:
        raise
    except Exception as error:  # a loader raises what it likes on junk
        raise Unreadable("it isn't YAML that MLflow wrote") from error
    if not isinstance(found, dict):
        raise Unreadable("it holds no mapping")
    if b"&" in data:
        _refuse_bomb(found)
    return found


def _refuse_depth(yaml: Any, content: str, loader: Any) -> None:
    """The fast loader calls itself for each level, until the process dies of it."""
    depth = 0
    for event in yaml.parse(content, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            raise Unreadable("it is nested too deeply")


def _refuse_bomb(value: object) -> None:
    """A few lines can refer to one another so that they unfold to more than any memory holds."""
    left, waiting = _UNFOLDED, [value]
    while waiting:
        each = waiting.pop()
        inside: List[object] = []
        if isinstance(each, dict):
            inside = [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set)):
            inside = list(each)
        left -= len(each) if isinstance(each, (str, bytes)) else 64 * (1 + len(inside))
        if left < 0:
            raise Unreadable("it unfolds to too much")
        waiting += inside
