"""Tasks that read their own words.

Invoke's parser knows no flags but those that a task's signature declares. So a task reads its words
itself (`inv remote-run PROGRAM --epoch 1000`): what they mean is decided in
`remote.tasks.arguments`, and Invoke does not see them.
"""

from __future__ import annotations

import inspect
import itertools
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from remote.config import find_project
from remote.errors import RemoteError
from remote.options import options_of
from remote.output import print_lines
from remote.tasks.exits import exit_on_error
from remote.tasks.result import errors_as_json

if TYPE_CHECKING:
    from invoke.program import Program

    from remote.programs.program import FileProgram
    from remote.tasks.arguments import Call

#: The keyword argument that tells a call from the command line from one by another task.
TYPED = "typed on the command line"

JSON_FLAGS = {"--json", "-j"}

#: Arguments of a task's function that are no flags by themselves.
_NO_FLAGS = ("options", "parameters", "arguments")


class OwnParserTask(Task[Any]):
    """A task that reads its own words: all have one kind of help, and positional arguments may be
    left out.

    A positional argument without a default has to be given. With `options`, a class of
    `remote.options`, its flags are the task's too, and arrive as the keyword argument `options`.
    Where the task's function takes `parameters`, its first positional names a program, and that
    program's parameters are flags too; where it takes `arguments`, they are what was typed after
    ` -- `. With `several`, each parameter is given alternatives, separated by commas.
    """

    #: What is typed for every such task, and whether it takes words that are no flags: where one
    #: such word ends, no task can begin for sure.
    all_names: dict[str, bool] = {}

    #: How many words Invoke was spared, by the place of the task that they are of.
    taken: dict[int, int] = {}

    def __init__(
        self, *args: Any, options: type | None = None, several: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **{**kwargs, "auto_shortflags": False})
        self.options, self.several = options, several
        self.call: Call | None = None
        self.takes = set(inspect.signature(self.body).parameters)
        #: What is typed for this task.
        self.typed_name = self.name.replace("_", "-")
        OwnParserTask.all_names[self.typed_name] = bool(self.positional)

    @exit_on_error
    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Read the task's words, and leave nothing of them to Invoke."""
        declared = [
            argument
            for argument in super().get_arguments(ignore_unknown_help)
            if argument.name not in _NO_FLAGS
        ]
        program = running()
        if program and not OwnParserTask.taken and program.args.help.value is None:
            _refuse_unknown(program, 0)
        place = place_of(self.typed_name, sys.argv) if program else None
        if place is None:
            # For Invoke to complete in a shell.
            rows = options_of(self.options).values() if self.options else ()
            return declared + [
                Argument(name=row.flag.removeprefix("--"), kind=bool if row.switch else str)
                for row in rows
            ]
        words = sys.argv[place + 1 :]
        with errors_as_json(
            "json" in self.takes and not JSON_FLAGS.isdisjoint(_before_dashes(words))
        ):
            return self._read(program, place, words, declared)

    def _read(
        self,
        program: Program | None,
        place: int,
        words: Sequence[str],
        declared: Sequence[Argument],
    ) -> list[Argument]:
        # Other tasks start faster without it.
        from remote.tasks.arguments import HELP_FLAGS, TaskParser

        parser = TaskParser(
            self._usage(declared),
            inspect.getdoc(self) or "",
            declared,
            self.options,
            several=self.several,
        )
        find_program = _program_finder(words) if "parameters" in self.takes else None
        self.call = parser.read(words, find_program)
        if self.call.help or any(word in HELP_FLAGS for word in sys.argv[1:place]):
            print_lines(*parser.help().rstrip().split("\n"))
            raise Exit(code=0)
        self._check(declared, self.call, words)
        assert program is not None
        _refuse_unknown(program, 1 + _take_from_invoke(program, place, words, self.call.count))
        return [Argument(name=TYPED, kind=bool, default=True)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with what was read; a call from Python gets its own arguments."""
        if kwargs.pop(TYPED, False) and self.call:
            kwargs = dict(self.call.values)
            if self.call.program:
                kwargs["parameters"] = self.call.parameters
            if "arguments" in self.takes:
                kwargs["arguments"] = self.call.rest
        return super().__call__(*args, **kwargs)

    def _usage(self, declared: Sequence[Argument]) -> str:
        parts = ["inv", self.typed_name]
        for argument in declared:
            if argument.positional:
                name = str(argument.name).upper() + (" ..." if argument.kind is list else "")
                parts.append(name if self._is_needed(argument) else f"[{name}]")
        rest = ["[-- ARGUMENTS]"] if "arguments" in self.takes else []
        return " ".join([*parts, "[--flags]", *rest])

    def _is_needed(self, argument: Argument) -> bool:
        """Whether it is positional, and the task has no default for it: Invoke's own for what may come
        again is an empty list."""
        parameters = inspect.signature(self.body).parameters
        own = parameters.get(str(argument.name))
        return bool(argument.positional and own and own.default is inspect.Parameter.empty)

    def _check(self, declared: Sequence[Argument], call: Call, words: Sequence[str]) -> None:
        """Refuse what Invoke would not explain well; raises RemoteError."""
        name = self.typed_name
        for argument in declared:
            if self._is_needed(argument) and argument.name not in call.values:
                what = str(argument.name).upper()
                raise RemoteError(
                    f"inv {name} needs {what}: {argument.help}.", self._usage(declared)
                )
        for word in _before_dashes(words)[call.count :] if self.positional else ():
            if OwnParserTask.all_names.get(word):
                raise RemoteError(f"One call of inv takes one {name}, and no {word} after it.")


def _program_finder(words: Sequence[str]) -> Callable[[str], FileProgram]:
    """What finds the program of a name; its entry point has to be known before the other flags."""
    from remote.programs.program import find

    root, entry_point = find_project().root, ""
    words = _before_dashes(words)
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        flag, equals, value = word.partition("=")
        if flag == "--entry-point":
            entry_point = value if equals else following
            break
    return lambda name: find(root, name, entry_point)


def place_of(task: str, argv: Sequence[str]) -> int | None:
    """Where the task's name stands among the words; None where it isn't called, or where it may be
    a word of the one before."""
    if "--complete" in argv:
        return None
    for place, word in enumerate(argv):
        name = word.rpartition(".")[2] if place else ""
        if name == task:
            return place
        if OwnParserTask.all_names.get(name):
            return None
    return None


def _take_from_invoke(program: Program, place: int, words: Sequence[str], count: int) -> int:
    """Take the first `count` of the words behind the task's name from what Invoke is to read; where
    the name stands there."""
    # Invoke has set its own flags apart, which leaves the end of the command line.
    unparsed, taken = program.core.unparsed, OwnParserTask.taken
    missing = sum(number for other, number in taken.items() if other > place)
    start = len(unparsed) + missing - len(_before_dashes(words))
    del unparsed[start : start + count]
    taken[place] = count
    return start - 1


def running() -> Program | None:
    """Invoke's `inv`, where it reads its command line now; not so where Python looks at a task."""
    from invoke.main import program

    return program if hasattr(program, "core") and program.collection else None


def _refuse_unknown(program: Program, place: int) -> None:
    """Say what was meant where a word that Invoke is to read next, at `place`, names no task.

    Raises RemoteError.
    """
    words = program.core.unparsed
    if place >= len(words) or words[place].startswith("-"):
        return
    word = words[place]
    tasks = program.collection.task_names.items()
    known = {name for primary, aliases in tasks for name in (primary, *aliases)}
    if word in known:
        return
    if place:
        raise RemoteError(*_superfluous(words[place - 1], word))
    import difflib

    near = difflib.get_close_matches(word, known, n=2, cutoff=0.7)
    near = [f"remote-{word}"] if f"remote-{word}" in known else near
    hint = f"Did you mean {' or '.join(near)}?" if near else "inv --list shows them."
    raise RemoteError(f"There is no task {word!r}.", hint)


def _superfluous(task: str, word: str) -> tuple[str, str]:
    """What is said of a word behind all that a task takes, and the next step."""
    name, equals, value = word.partition("=")
    message = f"inv {task} does not take {word!r}."
    if task.rpartition(".")[2] not in ("run", "remote-run"):
        return message, f"inv {task} --help shows what it takes."
    script = f"A script's own arguments follow --: inv {task} PROGRAM -- {shlex.quote(word)}"
    if equals and name.isidentifier():
        script = f"A notebook's parameter is a flag, --{name} {shlex.quote(value)}. {script}"
    return message, script


def _before_dashes(words: Sequence[str]) -> list[str]:
    return [*itertools.takewhile(lambda word: word != "--", words)]
