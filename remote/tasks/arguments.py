"""The words of one task on the command line, read by argparse. Pure.

Before argparse sees them, a flag and its value become one word (`--message=-x`): what follows a
flag is its value whatever it looks like. And a program's parameters become flags as soon as the
program is named, spelled `--batch-size` or `--batch_size`.
"""

from __future__ import annotations

import argparse
import difflib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from invoke.parser.argument import Argument

from remote.errors import RemoteError
from remote.options import Option, count, options_of

if TYPE_CHECKING:
    from remote.programs.parameter import Parameter
    from remote.programs.program import FileProgram

HELP_FLAGS = ("--help", "-h")

#: Before a parameter's name in argparse's namespace: no argument of a task can be called so.
PARAMETER = "parameter:"


class UsageError(RemoteError):
    """What was typed doesn't fit the task."""


@dataclass
class Call:
    """What the words of a task mean.

    `values` are the task's own arguments by their Python names, `parameters` those of its program,
    `rest` is what followed ` -- `, `count` how many words were the task's.
    """

    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    program: FileProgram | None = None
    rest: list[str] = field(default_factory=list)
    help: bool = False
    count: int = 0


class TaskParser:
    """The flags of one task; those of a program join them while the words are read.

    `arguments` come from the task's signature, positional ones first, of which the last may take
    all words that follow. `options` is a class of rows (see `remote.options`), whose object is the
    value of `options`.
    """

    def __init__(
        self, usage: str, about: str, arguments: Sequence[Argument], options: type | None = None
    ) -> None:
        self._positional = {str(each.name): each for each in arguments if each.positional}
        self._option_rows = options_of(options) if options else {}
        self._options = options
        self._program: FileProgram | None = None
        self._actions: dict[str, argparse.Action] = {}
        self._opposites: dict[str, str] = {}
        self._parser = argparse.ArgumentParser(
            usage=usage,
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            add_help=False,
            allow_abbrev=False,
        )
        for argument in arguments:
            self._add_own(str(argument.name), _as_option(argument))
        for name, row in self._option_rows.items():
            self._add_own(name, row)
        self._own_flags = list(self._actions)
        for flag in HELP_FLAGS:
            self._add(self._parser, flag, dest="help", action="store_true", help=argparse.SUPPRESS)

    def read(
        self, words: Sequence[str], find_program: Callable[[str], FileProgram] | None = None
    ) -> Call:
        """Read words up to the first that can't be the task's; raises RemoteError.

        With `find_program`, the first positional word names a program.
        """
        call, queue = Call(), deque(words)
        flags, positional = [], list(self._positional.items())
        while queue and queue[0] != "--" and (_is_flag(queue[0]) or positional):
            word = queue.popleft()
            if _is_flag(word):
                flags.append(self._with_value(word, queue))
            elif positional[0][1].kind is list:
                call.values.setdefault(positional[0][0], []).append(word)
            else:
                call.values[positional.pop(0)[0]] = word
                if find_program and word and self._program is None:
                    self._add_parameters(find_program(word))
        call.count = len(words) - len(queue)
        call.rest = list(queue)[1:] if queue and queue[0] == "--" else []
        call.program = self._program
        self._sort(vars(self._parser.parse_args(flags)), call)
        return call

    def help(self) -> str:
        """What `--help` shows: the task's flags, and those of the program that was named."""
        # Python 3.14 colours it, and what is printed is escaped.
        vars(self._parser)["color"] = False
        return self._parser.format_help().replace("usage: ", "Usage: ", 1)

    def _sort(self, values: dict[str, Any], call: Call) -> None:
        """Put the values that argparse read where they belong in `call`."""
        call.help = values.pop("help", False)
        for name in [name for name in values if name.startswith(PARAMETER)]:
            call.parameters[name.removeprefix(PARAMETER)] = values.pop(name)
        if self._options:
            given = {name: values.pop(name) for name in self._option_rows if name in values}
            for name in given:
                collect = self._option_rows[name].collect
                given[name] = collect(given[name]) if collect else given[name]
            values["options"] = self._options(**given)
        call.values.update(values)

    def _with_value(self, word: str, following: deque[str]) -> str:
        """A flag as it is registered, and its value, as one word."""
        typed, equals, value = word.partition("=")
        flag = typed if typed in self._actions else _dashed(typed)
        if flag not in self._actions and flag not in self._opposites:
            raise self._unknown(typed)
        action = self._actions.get(flag)
        if action is None or action.nargs == 0:
            if equals:
                raise UsageError(f"{typed} takes no value.")
            return f"{self._opposites[flag]}=false" if action is None else flag
        if action.nargs == "?" and not equals:
            from remote.programs.parameter import WORDS

            is_value = following and following[0].lower() in WORDS
            return f"{flag}={following.popleft() if is_value else 'true'}"
        if not equals and (not following or following[0] == "--"):
            raise UsageError(f"{typed} needs a value.", f"Type {typed} VALUE or {typed}=VALUE.")
        return f"{flag}={value if equals else following.popleft()}"

    def _unknown(self, flag: str) -> RemoteError:
        near = difflib.get_close_matches(flag, self._own_flags, n=2, cutoff=0.7)
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        if self._program is None:
            hint = hint or f"It takes {', '.join(self._own_flags)}."
            return UsageError(f"There is no flag {flag} here.", hint)
        try:
            parameter = self._program.parameter(flag.lstrip("-"))
        except RemoteError as error:
            return UsageError(error.message, hint) if hint else error
        return UsageError(f"Write --{parameter.name}, with two dashes.")

    def _add(self, group: argparse._ActionsContainer, flag: str, **settings: Any) -> None:
        self._actions[flag] = group.add_argument(flag, **settings)

    def _add_own(self, name: str, row: Option) -> None:
        text, settings = _escaped(row.help), {"dest": name}
        if name in self._positional:
            # What is positional may be typed as a flag too, as with any task of Invoke's.
            self._parser.add_argument(name, nargs="?", help=text)
            text = argparse.SUPPRESS
        if row.switch:
            self._add(self._parser, row.flag, action="store_true", help=text, **settings)
            return
        parse = row.parse
        self._add(
            self._parser,
            row.flag,
            action="append" if row.collect else "store",
            type=(lambda word: parse(word, row.flag)) if parse else str,
            metavar="VALUE",
            help=text,
            **settings,
        )

    def _add_parameters(self, program: FileProgram) -> None:
        self._program = program
        group = self._parser.add_argument_group(f"parameters of {program.path}")
        plain = {each.name: _dashed(f"--{each.name}") for each in program.parameters}
        own = set(self._actions)
        for parameter in sorted(program.parameters, key=lambda each: plain[each.name] in own):
            flag = plain[parameter.name]
            # A flag of the task itself comes first.
            flag = f"--parameter-{flag[2:]}" if flag in own else flag
            if flag not in self._actions:
                self._add(group, flag, **_settings(flag, parameter))
                if parameter.kind == "bool":
                    self._opposites[_opposite(flag)] = flag


def _settings(flag: str, parameter: Parameter) -> dict[str, Any]:
    """What argparse is told of a parameter."""
    is_bool = parameter.kind == "bool"
    kind = f"{parameter.kind}, " if parameter.kind else ""
    opposite = f", or {_opposite(flag)}" if is_bool else ""
    text = f"{parameter.comment} ({kind}default: {parameter.default}){opposite}"
    return {
        "dest": PARAMETER + parameter.name,
        "type": parameter.convert,
        # The value of a yes-or-no parameter may be left out.
        "nargs": "?" if is_bool else None,
        "metavar": "VALUE",
        "help": _escaped(text.strip()),
    }


def _opposite(flag: str) -> str:
    return f"--no-{flag[2:]}"


def _as_option(argument: Argument) -> Option:
    """The row of an argument that the task's signature declares."""
    return Option(
        f"--{argument.names[0]}",
        argument.help or "",
        parse=count if argument.kind is int else None,
        collect=list if argument.kind is list else None,
        switch=argument.kind is bool,
    )


def _dashed(flag: str) -> str:
    """`--batch-size` for `--batch_size`; `--_x` stays as it is."""
    return flag[:3] + flag[3:].replace("_", "-")


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _escaped(text: str) -> str:
    # argparse fills in %(default)s and the like.
    return text.replace("%", "%%")
