"""`inv remote-run PROGRAM --epoch 1000`: Invoke tasks that read their own words.

What the words mean is told by `remote.tasks.arguments`; Invoke does not see them.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from remote.config import find_project
from remote.errors import RemoteError

if TYPE_CHECKING:
    from remote.tasks.arguments import Call, Subject

#: The keyword argument that tells a call from the command line from one by another task.
TYPED = "typed on the command line"


class WordsTask(Task[Any]):
    """A task that reads its own words, so that positional arguments may be left out.

    A positional argument without a default has to be given. Where the task has a subject, its
    parameters arrive as the keyword argument `parameters`; a task that takes `arguments` gets what
    was typed after ` -- `.
    """

    #: Every such task, by name: on a command line, only the first of them is looked for.
    known: set[str] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "auto_shortflags": False})
        self.call: Call | None = None
        WordsTask.known.add(self.invoked)

    @property
    def invoked(self) -> str:
        """What is typed for this task."""
        return self.name.replace("_", "-")

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Read the task's words, and leave nothing of them to Invoke."""
        own = self.own(ignore_unknown_help)
        typed = typed_for(self.invoked, sys.argv)
        if typed is None:
            return own
        # Other tasks start faster without.
        from remote.tasks import arguments

        try:
            self.call = arguments.read(typed, own, self.find_subject(typed))
            if self.call.help or help_asked(self.invoked, sys.argv):
                self.print_help(own, self.call.subject)
                raise Exit(code=0)
            self.check(own, self.call, typed)
        except RemoteError as error:
            raise Exit(str(error), code=2) from None
        take_away(typed, self.call.count)
        return [Argument(name=TYPED, kind=bool, default=True)]

    def own(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's own arguments: all but those that take what is not its own."""
        found = super().get_arguments(ignore_unknown_help)
        return [argument for argument in found if argument.name not in ("parameters", "arguments")]

    @property
    def takes_arguments(self) -> bool:
        """Whether what follows ` -- ` is for this task."""
        return "arguments" in inspect.signature(self.body).parameters

    def find_subject(self, typed: Sequence[str]) -> Any:
        """What finds the subject that the first positional names; None where there is none."""
        return None

    def check(self, own: Sequence[Argument], call: Call, typed: Sequence[str]) -> None:
        """Refuse what Invoke would not tell well; raises RemoteError."""
        from remote.tasks.arguments import UsageError

        for argument in own:
            needed = argument.positional and argument.default is None
            if needed and argument.name not in call.values:
                name = str(argument.name)
                hint = f"inv {self.invoked} --help tells more."
                raise UsageError(f"inv {self.invoked} needs a {name}.", hint)
        if self.invoked in typed[call.count :]:
            raise UsageError(f"One call of inv takes one {self.invoked}.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with what was read; a call from Python gets its own arguments."""
        if kwargs.pop(TYPED, False) and self.call:
            kwargs = dict(self.call.values)
            if self.call.subject:
                kwargs["parameters"] = self.call.given
            if self.takes_arguments:
                kwargs["arguments"] = self.call.rest
        return super().__call__(*args, **kwargs)

    def print_help(self, own: Sequence[Argument], subject: Subject | None) -> None:
        """What Invoke prints for a task, and the parameters of its subject."""
        import textwrap

        from remote.tasks import arguments

        named = "".join(f"{_usage(argument)} " for argument in own if argument.positional)
        more = " [-- ARGUMENTS]" if self.takes_arguments else ""
        print(f"Usage: inv[oke] [--core-opts] {self.invoked} {named}[--options]{more}\n")
        print(textwrap.indent(inspect.getdoc(self) or "", "  ") + "\n")
        print("Options:")
        _print_columns((_spelled(argument), argument.help or "") for argument in own)
        if subject is not None and subject.parameters:
            print(f"\nParameters of {subject.path}:")
            _print_columns(_parameter_rows(subject, dict(arguments.own_flags(own))))


class ProgramTask(WordsTask):
    """A task whose first positional names a program, with that program's parameters as flags."""

    def find_subject(self, typed: Sequence[str]) -> Any:
        """What finds the program of a name; raises RemoteError."""
        from remote.programs import find

        root = find_project().root
        entry_point = value_of("--entry-point", typed)
        return lambda name: find.find(root, name, entry_point)


def value_of(flag: str, typed: Sequence[str]) -> str:
    """The value of a flag that has to be known before the others can be read."""
    for index, word in enumerate(typed):
        if word == "--":
            break
        if word == flag:
            return typed[index + 1] if index + 1 < len(typed) else ""
        if word.startswith(flag + "="):
            return word.partition("=")[2]
    return ""


def typed_for(task: str, argv: Sequence[str]) -> list[str] | None:
    """The words that follow the task's name; None where another task is called."""
    if "--complete" in argv:
        return None
    for index, word in enumerate(argv[1:], 1):
        name = word.rpartition(".")[2]
        if name in WordsTask.known:
            return list(argv[index + 1 :]) if name == task else None
    return None


def take_away(typed: Sequence[str], count: int) -> None:
    """Take the first `count` of the words `typed` from what Invoke is about to read."""
    from invoke.main import program

    # Invoke has set its own flags apart, which leaves the end of the command line.
    unparsed = program.core.unparsed
    start = len(unparsed) - len([*itertools.takewhile(lambda word: word != "--", typed)])
    del unparsed[start : start + count]


def help_asked(task: str, argv: Sequence[str]) -> bool:
    """Whether it is `inv --help TASK …`."""
    before = list(argv[1:]).index(task) if task in argv[1:] else 0
    return any(word in ("--help", "-h") for word in argv[1 : 1 + before])


def _usage(argument: Argument) -> str:
    name = str(argument.name).upper()
    if argument.kind is list:
        return f"[{name} ...]"
    return name if argument.default is None else f"[{name}]"


def _spelled(argument: Argument) -> str:
    flag = f"--{argument.names[0]}"
    if argument.kind is bool:
        return flag
    kind = {int: "INT", float: "NUMBER"}.get(argument.kind, "STRING")
    return f"{flag}={kind}"


def _parameter_rows(subject: Subject, taken: dict[str, Any]) -> Iterable[tuple[str, str]]:
    from remote.tasks.arguments import Given, subject_flags

    flags = subject_flags(subject, taken)
    for parameter in subject.parameters:
        meant = [(flag, each) for flag, each in flags.items() if isinstance(each, Given)]
        mine = [(flag, each.value) for flag, each in meant if each.parameter is parameter]
        flag = _plainest(flag for flag, value in mine if value is not False)
        negated = _plainest(flag for flag, value in mine if value is False)
        kind = f"{parameter.kind}, " if parameter.kind else ""
        comment = f"{parameter.comment} " if parameter.comment else ""
        shown = ", ".join(filter(None, [flag, negated]))
        shown = shown if parameter.kind == "bool" else f"{shown} VALUE"
        yield shown, f"{comment}({kind}default: {parameter.default})"


def _plainest(flags: Iterable[str]) -> str:
    found = list(flags)
    return next((flag for flag in found if "_" not in flag), found[0] if found else "")


def _print_columns(rows: Iterable[tuple[str, str]]) -> None:
    import shutil
    import textwrap

    rows = list(rows)
    width = min(max((len(name) for name, _ in rows), default=0), 30)
    room = max(shutil.get_terminal_size().columns - width - 6, 30)
    for name, text in rows or [("none", "")]:
        lines = textwrap.wrap(text, room) or [""]
        print(f"  {name.ljust(width)}  {lines[0]}".rstrip())
        for line in lines[1:]:
            print(f"  {'':{width}}  {line}")
