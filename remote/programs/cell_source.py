"""Reading the Python of a notebook's cells without running it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from typing import Any

from remote.programs.parameter import KINDS, UNREADABLE, Parameter

#: IPython's own lines, which Python can't parse: `%magic`, `!command`, `?help`, `help?`, `a = !ls`.
_IPYTHON = re.compile(r"^(\s*)(?:[%!?].*|.*\?|[\w\s,.\[\]()]+=\s*[%!].*)$")


#: The innermost brackets of an annotation; behind these names stand types that are allowed too.
_BRACKETS = re.compile(r"(optional|union)?\[([^\[\]]*)\]")


def statements(source: str) -> list[ast.stmt] | None:
    """The statements of a cell; None where they can't be told."""
    for text in (source, _without_magics(source)):
        try:
            with warnings.catch_warnings():
                # What is odd about a cell is for the kernel to say, when it runs.
                warnings.simplefilter("ignore")
                return ast.parse(text).body
        except UNREADABLE:
            continue
    return None


def _without_magics(source: str) -> str:
    return "\n".join(_IPYTHON.sub(r"\1pass", line) for line in source.split("\n"))


def parameters(source: str) -> tuple[Parameter, ...]:
    """The plain assignments of the cell tagged `parameters`; the last of a name counts."""
    comments = _comments(source)
    by_name: dict[str, Parameter] = {}
    for statement in statements(source) or ():
        if isinstance(statement, ast.Assign):
            target, annotation = statement.targets[0], None
        elif isinstance(statement, ast.AnnAssign):
            target, annotation = statement.target, statement.annotation
        else:
            continue
        if isinstance(target, ast.Name) and statement.value is not None:
            kind, optional = _kind(annotation, statement.value)
            comment = comments.get(statement.end_lineno or 0, "")
            default = _unparsed(statement.value)
            choices = _choices(annotation)
            by_name[target.id] = Parameter(target.id, kind, default, comment, optional, choices)
    return tuple(by_name.values())


def _comments(source: str) -> dict[int, str]:
    comments = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("# ").rstrip()
    except (tokenize.TokenError, *UNREADABLE):
        pass
    return comments


def _unparsed(value: ast.expr) -> str:
    try:
        return ast.unparse(value)
    except UNREADABLE:
        return "..."


def _kind(annotation: ast.expr | None, value: ast.expr) -> tuple[str, bool]:
    """(the type's name out of KINDS or "", whether None is allowed too)."""
    names = _allowed_types(annotation)
    kinds = [name for name in names if name in KINDS]
    if len(kinds) == 1:
        return kinds[0], not {"none", "optional"}.isdisjoint(names)
    optional = "literal" in names and not {"none", "optional"}.isdisjoint(names)
    try:
        kind = type(ast.literal_eval(value)).__name__
    except UNREADABLE:
        return "", optional
    return (kind if kind in KINDS else ""), optional


def _allowed_types(annotation: ast.expr | None) -> list[str]:
    """The names in an annotation, in small letters; not what `list[int]` says of its items."""
    text = _unparsed(annotation).lower() if annotation else ""
    before = ""
    while text != before:
        before, text = text, _BRACKETS.sub(lambda it: f"{it[1]}({it[2]})" if it[1] else "", text)
    return re.findall(r"\w+", text)


def _choices(annotation: ast.expr | None) -> tuple[Any, ...]:
    """The values of a `Literal`; none where the annotation allows other types than None beside it."""
    names = _allowed_types(annotation)
    if annotation is None or "literal" not in names or not KINDS.keys().isdisjoint(names):
        return ()
    is_quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    parts = statements(str(ast.literal_eval(annotation)) if is_quoted else _unparsed(annotation))
    nodes = [node for part in parts or () for node in ast.walk(part)]
    literals = [node for node in nodes if isinstance(node, ast.Subscript)]
    literals = [node for node in literals if _unparsed(node.value).endswith("Literal")]
    values = [value for node in literals for value in ast.walk(node.slice)]
    return tuple(value.value for value in values if isinstance(value, ast.Constant))
