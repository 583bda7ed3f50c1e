"""The words of one task on the command line, read. Pure.

What follows a flag is its value whatever it looks like. And a program's parameters become flags as
soon as the program is named, spelled `--batch-size` or `--batch_size`.
"""

from __future__ import annotations

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

#: One letter for what other programs have it for: `docker logs -f -n 30`, `ps -a`, `rsync -n`.
SHORT = {
    "-a": ("--all",),
    "-f": ("--follow",),
    "-j": ("--json",),
    "-n": ("--tail", "--dry-run"),
    "-t": ("--target",),
    "-w": ("--watch",),
    "-y": ("--yes",),
}


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


@dataclass(frozen=True)
class _Flag:
    """A flag, and where its value goes, by which name.

    A switch means `constant`. An `optional` value may be left out: it is a yes then.
    """

    row: Option
    place: dict[str, Any]
    name: str
    constant: bool = True
    optional: bool = False


class TaskParser:
    """The flags of one task; those of a program join them while the words are read, once.

    `arguments` come from the task's signature, positional ones first, of which the last may take
    all words that follow. `options` is a class of rows (see `remote.options`), whose object is the
    value of `options`. With `several`, the value of a program's parameter is a list of alternatives.
    """

    def __init__(
        self,
        usage: str,
        about: str,
        arguments: Sequence[Argument],
        options: type | None = None,
        *,
        several: bool = False,
    ) -> None:
        self._several = several
        self._usage, self._about, self._options = usage, about, options
        self._positional = [argument for argument in arguments if argument.positional]
        self._call = Call()
        self._given: dict[str, Any] = {}
        self._flags: dict[str, _Flag] = {}
        for argument in arguments:
            # What is positional may be typed as a flag too, as with any task of Invoke's.
            row = Option(
                f"--{argument.names[0]}",
                argument.help or "",
                parse=count if argument.kind is int else None,
                collect=list if argument.kind is list else None,
                switch=argument.kind is bool,
            )
            self._flags[row.flag] = _Flag(row, self._call.values, str(argument.name))
        for name, row in options_of(options).items() if options else ():
            self._flags[row.flag] = _Flag(row, self._given, name, row.constant)
        self._own_flags = list(self._flags)
        for short, names in SHORT.items():
            for name in names:
                if name in self._flags:
                    self._flags[short] = self._flags[name]
        for flag in HELP_FLAGS:
            self._flags[flag] = _Flag(Option(flag, switch=True), vars(self._call), "help")

    def read(
        self, words: Sequence[str], find_program: Callable[[str], FileProgram] | None = None
    ) -> Call:
        """Read words up to the first that can't be the task's; raises RemoteError.

        With `find_program`, the first positional word names a program.
        """
        call, queue, positional = self._call, deque(words), deque(self._positional)
        while queue and queue[0] != "--" and (_is_flag(queue[0]) or positional):
            word = queue.popleft()
            if _is_flag(word):
                self._read_flag(word, queue)
            elif positional[0].kind is list:
                call.values.setdefault(str(positional[0].name), []).append(word)
            else:
                call.values[str(positional.popleft().name)] = word
                if find_program and word and call.program is None:
                    call.program = find_program(word)
                    self._add_parameters(call.program)
        call.count = len(words) - len(queue)
        call.rest = list(queue)[1:] if queue and queue[0] == "--" else []
        if self._options:
            for name, row in options_of(self._options).items():
                if row.collect and name in self._given:
                    self._given[name] = row.collect(self._given[name])
            call.values["options"] = self._options(**self._given)
        return call

    def _read_flag(self, word: str, following: deque[str]) -> None:
        """Put the value of a flag, or of the word that follows it, where it belongs."""
        typed, equals, text = word.partition("=")
        if word[:2] in SHORT and len(word) > 2 and not equals:
            # `-n30`
            typed, equals, text = word[:2], "=", word[2:]
        flag = self._flags.get(typed) or self._flags.get(_dashed(typed))
        if flag is None:
            raise self._unknown(typed)
        if flag.row.switch:
            if equals:
                raise RemoteError(f"{typed} takes no value.")
            self._put(flag, flag.constant)
            return
        if flag.optional and not equals:
            text = following.popleft() if following and self._is_answer(following[0]) else "true"
        elif not equals:
            if not following or following[0] == "--":
                raise RemoteError(
                    f"{typed} needs a value.", f"Type {typed} VALUE or {typed}=VALUE."
                )
            text = following.popleft()
        value = flag.row.parse(text, flag.row.flag) if flag.row.parse else text
        self._put(flag, value)

    def _put(self, flag: _Flag, value: Any) -> None:
        """Where a flag may come again, its values are joined; else the last one counts."""
        if flag.row.collect:
            flag.place.setdefault(flag.name, []).append(value)
        elif self._several and flag.place is self._call.parameters:
            values = value if isinstance(value, list) else [value]
            flag.place.setdefault(flag.name, []).extend(values)
        else:
            flag.place[flag.name] = value

    def _is_answer(self, word: str) -> bool:
        """Whether it is a yes or a no, or both where alternatives are taken."""
        from remote.programs.parameter import WORDS

        answers = word.lower().split(",") if self._several else [word.lower()]
        return all(answer in WORDS for answer in answers)

    def _unknown(self, flag: str) -> RemoteError:
        # Only who mistypes waits for it.
        import difflib

        near = difflib.get_close_matches(flag, self._own_flags, n=2, cutoff=0.7)
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        if self._call.program is None:
            hint = hint or f"It takes {', '.join(self._own_flags)}."
            return RemoteError(f"There is no flag {flag}.", hint)
        try:
            parameter = self._call.program.parameter(flag.lstrip("-"))
        except RemoteError as error:
            return RemoteError(error.message, hint) if hint else error
        return RemoteError(f"Write --{parameter.name}, with two dashes.")

    def _add_parameters(self, program: FileProgram) -> None:
        plain = {each.name: _dashed(f"--{each.name}") for each in program.parameters}
        own, place, opposites = set(self._flags), self._call.parameters, {}
        for parameter in sorted(program.parameters, key=lambda each: plain[each.name] in own):
            flag = plain[parameter.name]
            # A flag of the task itself comes first.
            flag = f"--parameter-{flag[2:]}" if flag in own else flag
            if flag in self._flags:
                continue
            kind = f"{parameter.kind}, " if parameter.kind else ""
            text = f"{parameter.comment} ({kind}default: {parameter.default})".strip()
            is_bool = parameter.kind == "bool"
            if is_bool:
                no = Option(f"--no-{flag[2:]}", switch=True)
                opposites[no.flag] = _Flag(no, place, parameter.name, constant=False)
                text += f", or {no.flag}"

            def parse(word: str, flag: str, parameter: Parameter = parameter) -> Any:
                if not self._several:
                    return parameter.convert(word)
                from remote.programs.alternatives import split_values

                return [parameter.convert(part) for part in split_values(word)]

            row = Option(flag, text, parse)
            self._flags[flag] = _Flag(row, place, parameter.name, optional=is_bool)
        for flag, opposite in opposites.items():
            self._flags.setdefault(flag, opposite)

    def help(self) -> str:
        """What `--help` shows: the task's flags, and those of the program that was named."""
        # Only who asks for help waits for argparse.
        import argparse

        parser = argparse.ArgumentParser(
            usage=self._usage,
            description=self._about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        # Python 3.14 colours it, and what is printed is escaped.
        vars(parser)["color"] = False
        positional = [str(argument.name) for argument in self._positional]
        letters = {id(flag): short for short, flag in self._flags.items() if short in SHORT}
        for flag in [self._flags[name] for name in self._own_flags]:
            # argparse fills in %(default)s and the like.
            text = flag.row.help.replace("%", "%%")
            if flag.name in positional:
                parser.add_argument(flag.name, nargs="?", help=text)
                continue
            typed = [*filter(None, [letters.get(id(flag))]), flag.row.flag]
            if flag.row.switch:
                parser.add_argument(*typed, action="store_true", help=text)
            else:
                parser.add_argument(*typed, metavar="VALUE", help=text)
        if self._call.program:
            group = parser.add_argument_group(f"parameters of {self._call.program.path}")
            for flag in self._flags.values():
                if flag.place is self._call.parameters and not flag.row.switch:
                    text, nargs = flag.row.help.replace("%", "%%"), "?" if flag.optional else None
                    group.add_argument(flag.row.flag, metavar="VALUE", nargs=nargs, help=text)
        return parser.format_help().replace("usage: ", "Usage: ", 1)


def _dashed(flag: str) -> str:
    """`--batch-size` for `--batch_size`; `--_x` stays as it is."""
    return flag[:3] + flag[3:].replace("_", "-")


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"
