"""Invoke tasks that read their own words: `inv remote-run PROGRAM --epoch 1000`.

What the words mean is decided in `remote.tasks.arguments`; Invoke does not see them, for its parser
knows no flags but those that the task's signature declares.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from remote.config import find_project
from remote.errors import RemoteError
from remote.options import options_of
from remote.output import print_lines, printable_lines

if TYPE_CHECKING:
    from remote.programs.program import FileProgram
    from remote.tasks.arguments import Call, TaskParser

#: The keyword argument that tells a call from the command line from one by another task.
TYPED = "typed on the command line"

#: Arguments of a task's function that are no flags by themselves.
_NO_FLAGS = ("options", "parameters", "arguments")


class ArgparseTask(Task[Any]):
    """A task that reads its own words, so that positional arguments may be left out.

    A positional argument without a default has to be given. With `options`, a class of
    `remote.options`, its flags are the task's too, and arrive as the keyword argument `options`.
    The parameters of a program arrive as `parameters`, and what was typed after ` -- ` as
    `arguments` where the task's function takes that.
    """

    #: What is typed for every such task: on a command line, only the first of them is read.
    all_names: set[str] = set()

    def __init__(self, *args: Any, options: type | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "auto_shortflags": False})
        self.options = options
        self.call: Call | None = None
        ArgparseTask.all_names.add(self.typed_name)

    @property
    def typed_name(self) -> str:
        """What is typed for this task."""
        return self.name.replace("_", "-")

    @property
    def takes_arguments(self) -> bool:
        """Whether what follows ` -- ` is for this task."""
        return "arguments" in inspect.signature(self.body).parameters

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Read the task's words, and leave nothing of them to Invoke."""
        declared = [
            argument
            for argument in super().get_arguments(ignore_unknown_help)
            if argument.name not in _NO_FLAGS
        ]
        place = place_of(self.typed_name, sys.argv)
        if place is None:
            return declared + _completed(self.options)
        words = sys.argv[place + 1 :]
        # Other tasks start faster without argparse.
        from remote.tasks.arguments import HELP

        try:
            parser = self._parser(declared)
            self.call = parser.read(words, self.find_program(words))
            if self.call.help or any(word in HELP for word in sys.argv[1:place]):
                print_lines(*parser.help().rstrip().split("\n"))
                raise Exit(code=0)
            self._check(declared, self.call, words)
        except RemoteError as error:
            raise Exit(printable_lines(str(error)), code=2) from None
        _take_from_invoke(words, self.call.count)
        return [Argument(name=TYPED, kind=bool, default=True)]

    def find_program(self, words: Sequence[str]) -> Callable[[str], FileProgram] | None:
        """What finds the program that the first positional names; None where it names none."""
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with what was read; a call from Python gets its own arguments."""
        if kwargs.pop(TYPED, False) and self.call:
            kwargs = dict(self.call.values)
            if self.call.program:
                kwargs["parameters"] = self.call.parameters
            if self.takes_arguments:
                kwargs["arguments"] = self.call.rest
        return super().__call__(*args, **kwargs)

    def _parser(self, declared: Sequence[Argument]) -> TaskParser:
        from remote.tasks.arguments import TaskParser

        positional = [_usage(argument) for argument in declared if argument.positional]
        rest = ["[-- ARGUMENTS]"] if self.takes_arguments else []
        usage = " ".join(["inv", self.typed_name, *positional, "[--flags]", *rest])
        return TaskParser(usage, inspect.getdoc(self) or "", declared, self.options)

    def _check(self, declared: Sequence[Argument], call: Call, words: Sequence[str]) -> None:
        """Refuse what Invoke would not explain well; raises UsageError."""
        from remote.tasks.arguments import UsageError

        name = self.typed_name
        for argument in declared:
            is_needed = argument.positional and argument.default is None
            if is_needed and argument.name not in call.values:
                hint = f"inv {name} --help tells more."
                raise UsageError(f"inv {name} needs a {argument.name}.", hint)
        for word in _before_dashes(words)[call.count :]:
            if word in ArgparseTask.all_names:
                raise UsageError(f"One call of inv takes one {name}, and no {word} after it.")


class ProgramTask(ArgparseTask):
    """A task whose first positional names a program, with that program's parameters as flags."""

    def find_program(self, words: Sequence[str]) -> Callable[[str], FileProgram]:
        """What finds the program of a name."""
        from remote.programs.program import find

        root = find_project().root
        entry_point = value_of("--entry-point", words)
        return lambda name: find(root, name, entry_point)


def value_of(flag: str, words: Sequence[str]) -> str:
    """The value of a flag that has to be known before the others can be read."""
    words = _before_dashes(words)
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word == flag or word.startswith(f"{flag}="):
            return following if word == flag else word.partition("=")[2]
    return ""


def place_of(task: str, argv: Sequence[str]) -> int | None:
    """Where the task's name stands among the words; None where another task is called."""
    if "--complete" in argv:
        return None
    names = [word.rpartition(".")[2] for word in argv]
    place = next((n for n, name in enumerate(names) if n and name in ArgparseTask.all_names), 0)
    return place if place and names[place] == task else None


def _take_from_invoke(words: Sequence[str], count: int) -> None:
    """Take the first `count` of the words behind the task's name from what Invoke is to read."""
    from invoke.main import program

    # Invoke has set its own flags apart, which leaves the end of the command line.
    unparsed = program.core.unparsed
    start = len(unparsed) - len(_before_dashes(words))
    del unparsed[start : start + count]


def _before_dashes(words: Sequence[str]) -> list[str]:
    return [*itertools.takewhile(lambda word: word != "--", words)]


def _completed(options: type | None) -> list[Argument]:
    """The flags of the options, for Invoke to complete in a shell."""
    rows = options_of(options).values() if options else ()
    return [
        Argument(name=row.flag.removeprefix("--"), kind=bool if row.switch else str) for row in rows
    ]


def _usage(argument: Argument) -> str:
    name = str(argument.name).upper()
    if argument.kind is list:
        return f"[{name} ...]"
    return name if argument.default is None else f"[{name}]"
