"""Values that are typed as alternatives, `0.1,0.01`, and all combinations of them. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remote.errors import JobError

#: A comma that separates nothing, or a piece of a text in which none does.
_PIECE = re.compile(r"\\,|[^,\[\]{}()]|[\[{(]|[\])}]|,", re.DOTALL)

#: Jobs of one sweep.
MOST = 1000


@dataclass(frozen=True)
class Combination:
    """One choice among all alternatives: what the program is given, and by what this one differs."""

    parameters: Mapping[str, Any]
    arguments: tuple[str, ...]
    values: Mapping[str, Any]


def split_values(text: str) -> list[str]:
    r"""The alternatives in a text: `0.1,0.01`. A comma in brackets, or behind a backslash, is part of
    one; raises JobError where one is empty."""
    parts, depth = [""], 0
    for piece in _PIECE.findall(text):
        depth += (piece in "[{(") - (piece in "])}")
        if piece == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += "," if piece == "\\," else piece
    if len(parts) > 1 and "" in parts:
        raise JobError(
            f"One of the values in {text!r} is empty.", r"A comma that is part of a value: \,"
        )
    return parts


def combinations(
    parameters: Mapping[str, Sequence[Any]], words: Sequence[str]
) -> list[Combination]:
    """All of them, the last that was typed changing fastest; raises JobError where they are too many.

    `parameters` hold alternatives already; those in `words` (`--lr 0.1,0.2`, `lr=0.1,0.2`) are split.
    """
    names, choices = [*parameters], [*parameters.values()]
    split = [_split_word(word) for word in words]
    count = 1
    for alternatives in (*choices, *split):
        count *= len(alternatives)
    if count > MOST:
        raise JobError(
            f"That is {count} jobs, and a sweep has {MOST} at most.", "Take fewer values at once."
        )
    swept = {name for name, values in parameters.items() if len(values) > 1}
    found = []
    for chosen in itertools.product(*choices, *split):
        given = dict(zip(names, chosen))
        arguments = tuple(map(str, chosen[len(names) :]))
        values = {name: given[name] for name in names if name in swept}
        for at, alternatives in enumerate(split):
            if len(alternatives) > 1:
                name, value = _named(words, at, arguments[at])
                values[name] = value
        found.append(Combination(given, arguments, values))
    return found


def once(every: Sequence[Combination]) -> list[Combination]:
    """The same without those that are equal to one before."""
    known: dict[str, Combination] = {}
    for each in every:
        # Values of notebooks may be lists and tables.
        known.setdefault(repr((each.parameters, each.arguments)), each)
    return [*known.values()]


def _split_word(word: str) -> list[str]:
    """The alternatives of a word of a command line: of what follows its first `=`, if it has one."""
    key, equals, text = word.partition("=")
    if not equals or "," in key:
        return split_values(word)
    return [f"{key}={value}" for value in split_values(text)]


def _named(words: Sequence[str], at: int, chosen: str) -> tuple[str, str]:
    """What a chosen word is called, and its value."""
    key, equals, value = chosen.partition("=")
    if equals:
        return key.lstrip("-"), value
    before = words[at - 1] if at else ""
    is_flag = before.startswith("-") and "=" not in before
    return before.lstrip("-") if is_flag else f"arg_{at + 1}", chosen
