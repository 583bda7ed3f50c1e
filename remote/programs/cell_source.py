"""Reading the Python of a notebook's cells without running it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator

from remote.programs.parameter import KINDS, UNREADABLE, Parameter

#: IPython's own lines, which Python can't parse: `%magic`, `!command`, `?help`, `help?`, `a = !ls`.
_IPYTHON = re.compile(r"^(\s*)(?:[%!?].*|.*\?|[\w\s,.\[\]()]+=\s*[%!].*)$")


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
            by_name[target.id] = Parameter(target.id, kind, default, comment, optional)
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
    named = list(_annotated(annotation)) if annotation else []
    kinds = [name for name in named if name in KINDS]
    if len(kinds) == 1:
        return kinds[0], "none" in named
    try:
        kind = type(ast.literal_eval(value)).__name__
    except UNREADABLE:
        return "", False
    return (kind if kind in KINDS else ""), False


def _annotated(annotation: ast.expr) -> Iterator[str]:
    """The types that an annotation allows, None among them, in small letters."""
    inner: Iterable[ast.expr] = ()
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        quoted = statements(annotation.value) or ()
        inner = [part.value for part in quoted if isinstance(part, ast.Expr)]
    elif isinstance(annotation, ast.BinOp):
        inner = (annotation.left, annotation.right)
    elif isinstance(annotation, ast.Tuple):
        inner = annotation.elts
    elif isinstance(annotation, ast.Subscript):
        outer = _unparsed(annotation.value).rpartition(".")[2].lower()
        if outer in ("optional", "union"):
            inner = [annotation.slice]
        yield "none" if outer == "optional" else outer
    elif isinstance(annotation, (ast.Name, ast.Attribute, ast.Constant)):
        yield _unparsed(annotation).rpartition(".")[2].lower()
    for part in inner:
        yield from _annotated(part)
