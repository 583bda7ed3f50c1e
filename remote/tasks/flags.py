"""`inv remote-run NOTEBOOK --epoch 1000`: the notebook's own parameters as flags."""

from __future__ import annotations

import sys
from typing import Any, Optional, Sequence

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

from remote import notebook
from remote.config import find_project
from remote.errors import RemoteError
from remote.notebook import Notebook, Parameter

#: Marks the keyword arguments that are a notebook's parameters.
PREFIX = "parameter:"

#: Flags of Invoke itself that may follow a task's name.
INVOKES_OWN = ("help", "echo", "dry")


class Spelled(str):
    """A flag's name that Invoke takes as it is written.

    Invoke turns `batch_size` into `--batch-size` and `n` into `-n`; papermill's users type
    `--batch_size` and `--n` too.
    """

    def lstrip(self, *_: Any) -> Spelled:
        return self

    def rstrip(self, *_: Any) -> Spelled:
        return self

    def replace(self, *_: Any) -> Spelled:
        return self

    def __len__(self) -> int:
        return max(2, super().__len__())


class Keyword(str):
    """The keyword argument that carries a flag's value; asked for its flag, it says `flag`.

    Invoke derives the flag that it prints in help texts from the keyword's name.
    """

    flag: Spelled

    @classmethod
    def of(cls, name: str, flag: Spelled) -> Keyword:
        """The keyword `name` of the flag called `flag`."""
        made = cls(name)
        made.flag = flag
        return made

    def lstrip(self, *_: Any) -> Spelled:
        return self.flag


class ParameterFlag(Argument):
    """A papermill parameter as an Invoke argument; its value is checked as it is read."""

    def __init__(self, parameter: Parameter, taken: set[str]) -> None:
        names = _names(parameter, taken)
        super().__init__(
            names=names,
            attr_name=Keyword.of(PREFIX + parameter.name, names[0]),
            optional=parameter.kind == "bool",
            help=_help(parameter),
        )
        self.parameter = parameter

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take the text from the command line, as the type that the notebook wants."""
        if value is True and not cast:
            super().set_value(True, cast=False)
            return
        try:
            converted = self.parameter.convert(value)
        except RemoteError as error:
            raise Exit(str(error), code=2) from None
        super().set_value(Given(converted), cast=False)


class Given:
    """A value that was given, be it None, empty or false: Invoke takes None for "not given"."""

    def __init__(self, value: Any) -> None:
        self.value = value


class NotebookTask(Task[Any]):
    """A task that takes a notebook, and that notebook's parameters as flags."""

    def get_arguments(self, ignore_unknown_help: Optional[bool] = None) -> list[Argument]:
        """The task's own arguments, and those of the notebook on the command line, if any."""
        own = [
            argument
            for argument in super().get_arguments(ignore_unknown_help)
            if argument.name != "parameters"
        ]
        try:
            source = named_notebook(self.name, sys.argv)
        except RemoteError as error:
            raise Exit(str(error), code=2) from None
        if source is None:
            return own
        if asked_about(self.name, sys.argv):
            for argument in own:
                argument.positional = False
        taken = {name for argument in own for name in argument.names}
        flags = [ParameterFlag(parameter, taken) for parameter in source.parameters]
        negations = [_negation(flag) for flag in flags if flag.parameter.kind == "bool"]
        _refuse_unknown(source, [*own, *flags, *negations])
        return [*own, *flags, *negations]


def named_notebook(task: str, argv: Sequence[str]) -> Optional[Notebook]:
    """The notebook that follows the task's name on the command line; raises NotebookError."""
    name = task.replace("_", "-")
    if name not in argv:
        return None
    rest = list(argv[argv.index(name) + 1 :])
    if not rest or not rest[0] or rest[0].startswith("-"):
        return None
    root = find_project().root
    return notebook.read(notebook.find(root, rest[0]), root)


def asked_about(task: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The notebook in `inv --help remote-run train.ipynb`.

    Invoke takes it for the name of another task; as an alias of this one it does no harm.
    """
    name = task.replace("_", "-")
    for help_flag in ("--help", "-h"):
        words = list(argv[1:4])
        if words[:2] == [help_flag, name] and len(words) == 3:
            return (words[2],)
    return ()


def given_parameters(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were given, by name, out of a task's keyword arguments."""
    found: dict[str, Any] = {}
    for key, value in kwargs.items():
        if key.startswith(PREFIX) and value is not None:
            found[key[len(PREFIX) :]] = value.value if isinstance(value, Given) else value
    for key, value in kwargs.items():
        if key.startswith("no-" + PREFIX) and value:
            found[key[len("no-" + PREFIX) :]] = False
    return found


def _names(parameter: Parameter, taken: set[str]) -> list[Spelled]:
    """The spellings of a parameter's flag; `--parameter-x` where the task has a flag `--x`."""
    dashed = parameter.name.strip("_").replace("_", "-")
    if dashed in taken or parameter.name in taken:
        return [Spelled(f"parameter-{dashed}")]
    names = [dashed, parameter.name] if len(dashed) > 1 else [parameter.name]
    return [Spelled(name) for name in dict.fromkeys(names)]


def _negation(flag: ParameterFlag) -> Argument:
    names = [Spelled(f"no-{name}") for name in flag.names]
    return Argument(
        names=names,
        kind=bool,
        default=False,
        attr_name=Keyword.of(f"no-{PREFIX}{flag.parameter.name}", names[0]),
        help=f"{flag.parameter.name} = False",
    )


def _help(parameter: Parameter) -> str:
    kind = f"{parameter.kind}, " if parameter.kind else ""
    comment = f"{parameter.comment} " if parameter.comment else ""
    return f"{comment}({kind}default: {parameter.default})"


def _refuse_unknown(source: Notebook, known: Sequence[Argument]) -> None:
    """Name the nearest parameter on a typo: Invoke itself would only say that it has no idea."""
    flags = {name: argument for argument in known for name in argument.names}
    tokens = list(sys.argv[_after_notebook(sys.argv) :])
    while tokens and tokens[0] != "--":
        token = tokens.pop(0)
        name, has_value, _ = token[2:].partition("=")
        if not token.startswith("--") or name in INVOKES_OWN:
            continue
        if name not in flags:
            _refuse(source, name)
        if flags[name].takes_value and not has_value and not flags[name].optional:
            tokens[:1] = []


def _refuse(source: Notebook, name: str) -> None:
    try:
        source.parameter(name)
    except RemoteError as error:
        raise Exit(str(error), code=2) from None


def _after_notebook(argv: Sequence[str]) -> int:
    names = ("remote-run", "run")
    return next(i for i, word in enumerate(argv) if word in names) + 2
