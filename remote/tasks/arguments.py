"""The words of one task on the command line, read as flags and values. Pure.

Invoke's own parser takes `--name=--epoch` for two flags, a `--help` for a positional's value, and
knows no flags but a task's own; and papermill's users type `--batch_size` and `--n` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from invoke.parser.argument import Argument

from remote.errors import RemoteError

if TYPE_CHECKING:
    from remote.programs.notebook import Parameter

HELP = ("--help", "-h")


class UsageError(RemoteError):
    """What was typed doesn't fit the task."""


class Subject(Protocol):
    """What a task is about, and what has parameters of its own: a notebook."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that flags may give."""

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name`; raises RemoteError that names the nearest."""


@dataclass
class Call:
    """What the words of a task mean.

    `values` are the task's own arguments by their Python names, `given` the parameters of its
    subject, `rest` what followed ` -- `, `count` how many words were the task's.
    """

    values: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    subject: Subject | None = None
    rest: list[str] = field(default_factory=list)
    help: bool = False
    count: int = 0


@dataclass(frozen=True)
class Own:
    """A flag of the task itself."""

    argument: Argument
    value: bool | None = None

    def take(self, flag: str, text: str | None, call: Call) -> None:
        """Put the value into `call`."""
        name = _python_name(self.argument)
        if self.value is not None:
            call.values[name] = self.value
        elif self.argument.kind is list:
            # Of a flag that may come again, every value counts.
            call.values.setdefault(name, []).append(text)
        elif self.argument.kind in (int, float):
            try:
                call.values[name] = self.argument.kind(text)
            except ValueError:
                raise UsageError(f"{flag} takes a number, not {text!r}.") from None
        else:
            call.values[name] = text


@dataclass(frozen=True)
class Given:
    """A flag of the subject: one of its parameters."""

    parameter: Parameter
    value: bool | None = None

    def take(self, flag: str, text: str | None, call: Call) -> None:
        """Put the value into `call`; raises NotebookError where it doesn't fit."""
        value = self.value if text is None else self.parameter.convert(text)
        call.given[self.parameter.name] = value


Flag = Own | Given


def read(
    words: Sequence[str],
    own: Sequence[Argument],
    find_subject: Callable[[str], Subject] | None = None,
) -> Call:
    """Read a task's words up to the first that can't be its own; raises RemoteError.

    `own` are the task's arguments, positional ones first in their order, of which the last may take
    all words that follow; with `find_subject`, the
    first positional names what has parameters of its own.
    """
    call = Call()
    positional = [argument for argument in own if argument.positional]
    flags = dict(own_flags(own))
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--" or not _is_flag(word) and not positional:
            break
        rest.pop(0)
        if word in HELP:
            call.help = True
        elif _is_flag(word):
            _flag(word, rest, flags, call)
        else:
            argument = positional[0]
            if argument.kind is not list:
                positional.pop(0)
            Own(argument).take(str(argument.name), word, call)
            if find_subject and call.subject is None and word:
                call.subject = find_subject(word)
                flags.update(subject_flags(call.subject, flags))
    call.count = len(words) - len(rest)
    call.rest = rest[1:] if rest[:1] == ["--"] else []
    return call


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _flag(word: str, rest: list[str], flags: dict[str, Flag], call: Call) -> None:
    flag, equals, value = word.partition("=")
    if flag not in flags:
        raise _unknown(flag, flags, call)
    meant = flags[flag]
    if isinstance(meant, Own) and meant.value is not None:
        if equals:
            raise UsageError(f"{flag} takes no value.")
        meant.take(flag, None, call)
    elif equals:
        meant.take(flag, value, call)
    elif isinstance(meant, Given) and meant.value is not None:
        # A yes-or-no parameter's value may be left out.
        from remote.programs.notebook.parameter import WORDS

        says = meant.value and rest[:1] and rest[0].lower() in WORDS
        meant.take(flag, rest.pop(0) if says else None, call)
    elif not rest or rest[0] == "--":
        raise UsageError(f"{flag} needs a value.", f"Type {flag} VALUE or {flag}=VALUE.")
    else:
        meant.take(flag, rest.pop(0), call)


def _unknown(flag: str, flags: dict[str, Flag], call: Call) -> RemoteError:
    import difflib

    name = flag.lstrip("-")
    near = difflib.get_close_matches(flag, flags, n=2, cutoff=0.7)
    near = [each for each in near if isinstance(flags[each], Own)]
    if call.subject is None:
        known = ", ".join(flag for flag in flags)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"It takes {known}."
        return UsageError(f"There is no flag {flag} here.", hint)
    try:
        call.subject.parameter(name)
    except RemoteError as error:
        return UsageError(error.message, f"Did you mean {' or '.join(near)}?") if near else error
    return UsageError(f"Write --{name}, with two dashes.")


def own_flags(own: Sequence[Argument]) -> Iterator[tuple[str, Flag]]:
    """Every spelling of the task's own flags."""
    for argument in own:
        for name in {argument.names[0], _python_name(argument)}:
            if argument.kind is not bool:
                yield f"--{name}", Own(argument)
                continue
            yield f"--{name}", Own(argument, True)
            if argument.default is True:
                yield f"--no-{name}", Own(argument, False)


def subject_flags(subject: Subject, taken: dict[str, Flag]) -> dict[str, Flag]:
    """Every spelling of the parameters: as they are called, with dashes, and `--no-x`.

    A parameter whose flag is taken is reached by `--parameter-x`.
    """
    found: dict[str, Flag] = {}

    def add(name: str, meant: Flag) -> None:
        if f"--{name}" not in taken and f"--{name}" not in HELP:
            found.setdefault(f"--{name}", meant)

    named = [(each, _meant(each)) for each in subject.parameters]
    for each, meant in named:
        add(each.name, meant)
    for each, meant in named:
        add(each.name.strip("_").replace("_", "-") or "_", meant)
    for each, meant in named:
        if f"--{each.name}" in taken or f"--{each.name}" in HELP:
            add(f"parameter-{each.name.replace('_', '-')}", meant)
            add(f"parameter_{each.name}", meant)
    for each, meant in named:
        if meant.value:
            add(f"no-{each.name}", Given(each, False))
            add(f"no-{each.name.replace('_', '-')}", Given(each, False))
    return found


def _meant(parameter: Parameter) -> Given:
    return Given(parameter, True if parameter.kind == "bool" else None)


def _python_name(argument: Argument) -> str:
    return str(argument.name)
