"""The words of one task: values arrive as they were typed, and what doesn't fit is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from invoke.context import Context
from invoke.tasks import task

from remote.errors import RemoteError
from remote.programs import notebook
from remote.programs.parameter import Parameter
from remote.tasks.arguments import Call, TaskParser
from remote.tasks.own_parser import OwnParserTask
from tests.tasks.test_declare import PARAMETERS

Read = Callable[..., Call]


@task(klass=OwnParserTask, positional=["notebook"], iterable=["tag"])
def sample(
    c: Context,
    notebook: str,
    target: str = "",
    output: str = "",
    follow: bool = False,
    n_best: int = 1,
    tag: Any = None,
    parameters: Any = None,
) -> None:
    """A task with a flag of each kind."""


def parser() -> TaskParser:
    return TaskParser("inv sample", "", sample.get_arguments())


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read words in a project with one notebook, which has these parameters."""

    def read_words(*words: str, parameters: str = PARAMETERS) -> Call:
        cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": parameters}
        path = tmp_path / "train.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "metadata": {}, "cells": [cell]}))
        return parser().read(words, lambda name: notebook.read(tmp_path / name, tmp_path))

    return read_words


def test_without_flags_nothing_is_given(read: Read) -> None:
    assert read("train.ipynb").parameters == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epoch", "1000"], {"epoch": 1000}),
        (["--epoch=1000"], {"epoch": 1000}),
        (["--batch-size", "4"], {"batch_size": 4}),
        (["--batch_size", "4"], {"batch_size": 4}),
        (["--batch_size=4"], {"batch_size": 4}),
        (["--n", "5"], {"n": 5}),
        (["--n=5"], {"n": 5}),
        (["--_hidden", "5"], {"_hidden": 5}),
        (["--エポック", "5"], {"エポック": 5}),
        (["--epoch", "1", "--lr", "2", "--n", "3"], {"epoch": 1, "lr": 2.0, "n": 3}),
        (["--epoch", "-5"], {"epoch": -5}),
        (["--lr", "-1e-3"], {"lr": -0.001}),
        (["--lr=-.5"], {"lr": -0.5}),
        (["--name", "a=b"], {"name": "a=b"}),
        (["--name=a=b=c"], {"name": "a=b=c"}),
        (["--name", "-x"], {"name": "-x"}),
        (["--name=-x"], {"name": "-x"}),
        (["--name", "--epoch"], {"name": "--epoch"}),
        (["--name=--epoch"], {"name": "--epoch"}),
        (["--name", "-"], {"name": "-"}),
        (["--name", ""], {"name": ""}),
        (["--name="], {"name": ""}),
        (["--name", "other"], {"name": "other"}),
        (["--name", "run"], {"name": "run"}),
        (["--name", "train.ipynb"], {"name": "train.ipynb"}),
        (["--name", "two words"], {"name": "two words"}),
        (
            ["--name", 'it\'s "q" $(touch pwned) `x` \\'],
            {"name": 'it\'s "q" $(touch pwned) `x` \\'},
        ),
        (["--name", "a\nb"], {"name": "a\nb"}),
        (["--name", "日本語"], {"name": "日本語"}),
        (["--name", "5"], {"name": "5"}),
        (["--name", "None"], {"name": "None"}),
        (["--seed", "5"], {"seed": 5}),
        (["--seed", "None"], {"seed": None}),
        (["--sizes", "[3, 4]"], {"sizes": [3, 4]}),
        (["--sizes", "[]"], {"sizes": []}),
        (["--options", '{"a": {"b": 1}}'], {"options": {"a": {"b": 1}}}),
        (["--epoch", "0"], {"epoch": 0}),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_value_arrives_as_it_was_typed(
    read: Read, words: list[str], expected: dict[str, Any]
) -> None:
    assert read("train.ipynb", *words).parameters == expected


def test_a_hundred_kilobytes_arrive(read: Read) -> None:
    call = read("train.ipynb", "--name", "x " * 50_000)
    assert call.parameters == {"name": "x " * 50_000}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--shuffle"], {"shuffle": True}),
        (["--no-shuffle"], {"shuffle": False}),
        (["--shuffle=false"], {"shuffle": False}),
        (["--shuffle=no"], {"shuffle": False}),
        (["--shuffle=0"], {"shuffle": False}),
        (["--shuffle=True"], {"shuffle": True}),
        (["--shuffle", "false"], {"shuffle": False}),
        (["--quiet"], {"quiet": True}),
        (["--no-quiet"], {"quiet": False}),
        (["--quiet", "--epoch", "3"], {"quiet": True, "epoch": 3}),
        (["--epoch", "3", "--no-shuffle"], {"epoch": 3, "shuffle": False}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_booleans(read: Read, words: list[str], expected: dict[str, Any]) -> None:
    assert read("train.ipynb", *words).parameters == expected


def test_a_parameter_called_like_a_flag_of_the_task(read: Read) -> None:
    words = ["--target", "host:/d", "--parameter-target", "x", "--output", "o", "--follow"]
    call = read("train.ipynb", *words, "--parameter-output=y")
    assert call.parameters == {"target": "x", "output": "y"}
    assert call.values == {
        "notebook": "train.ipynb",
        "target": "host:/d",
        "output": "o",
        "follow": True,
    }


def test_the_tasks_own_flags_may_stand_anywhere(read: Read) -> None:
    words = [
        "--n-best",
        "3",
        "--tag",
        "a=b",
        "train.ipynb",
        "--epoch",
        "2",
        "--tag=--c",
        "--follow",
    ]
    call = read(*words)
    assert call.parameters == {"epoch": 2}
    assert call.values == {
        "notebook": "train.ipynb",
        "follow": True,
        "n_best": 3,
        "tag": ["a=b", "--c"],
    }


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [(["-f"], "follow", True), (["-t", "a:b"], "target", "a:b"), (["-ta:b"], "target", "a:b")],
)
def test_one_letter_where_fingers_expect_it(
    read: Read, words: list[str], name: str, value: object
) -> None:
    assert read("train.ipynb", *words).values[name] == value


def test_underscores_will_do_in_the_tasks_own_flags_too(read: Read) -> None:
    assert read("train.ipynb", "--n_best=4").values["n_best"] == 4


def test_what_is_positional_may_be_typed_as_a_flag(read: Read) -> None:
    assert read("--notebook", "x").values == {"notebook": "x"}


def test_words_behind_the_dashes_are_kept_as_they_are(read: Read) -> None:
    call = read("train.ipynb", "--follow", "--", "--epoch", "--", "a b")
    assert (call.rest, call.parameters, call.count) == (["--epoch", "--", "a b"], {}, 2)


def test_another_tasks_words_are_left(read: Read) -> None:
    call = read("train.ipynb", "--epoch", "2", "other", "--epoch", "3")
    assert (call.parameters, call.count, call.rest) == ({"epoch": 2}, 3, [])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--n-best", "many"], "--n-best takes a number, not 'many'"),
        (["--follow=yes"], "--follow takes no value"),
        (["--target"], "--target needs a value"),
        (["--target", "--", "x"], "--target needs a value"),
        (["--folow"], "Did you mean --follow?"),
        (["-z"], "no parameter 'z'"),
        (["-epoch", "3"], "two dashes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_tasks_own_flags_do_not_take_is_told(
    read: Read, words: list[str], expected: str
) -> None:
    with pytest.raises(RemoteError) as error:
        read("train.ipynb", *words)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("source", "words", "expected"),
    [
        ("a = 1\na = 2.5", ["--a", "3.5"], {"a": 3.5}),
        ("lr = 1\n_lr = 2", ["--lr", "3", "--_lr", "4"], {"lr": 3, "_lr": 4}),
        ("shuffle = True\nno_shuffle = 5", ["--no_shuffle", "7"], {"no_shuffle": 7}),
        ("notebook = 'x'", ["--parameter-notebook", "y"], {"notebook": "y"}),
        ("follow = 1", ["--parameter-follow", "2"], {"follow": 2}),
        ("target = 1\nparameter_target = 2", ["--parameter_target", "3"], {"parameter_target": 3}),
        ("parameters = 1", ["--parameters", "2"], {"parameters": 2}),
        ("c = 1", ["--c", "2"], {"c": 2}),
        ("help = 1\nepoch = 2", ["--epoch", "3"], {"epoch": 3}),
        ("echo = 1", ["--echo", "2"], {"echo": 2}),
        ("list = [1]", ["--list", "[2]"], {"list": [2]}),
        ("_ = 1\nepoch = 2", ["--epoch", "3"], {"epoch": 3}),
        ("self = 1\ncls = 2", ["--self", "3", "--cls", "4"], {"self": 3, "cls": 4}),
    ],
    ids=lambda value: value.replace("\n", "; ") if isinstance(value, str) else "",
)
def test_odd_names_of_parameters(
    read: Read, source: str, words: list[str], expected: dict[str, Any]
) -> None:
    assert read("train.ipynb", *words, parameters=source).parameters == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epcoh", "3"], ["no parameter 'epcoh'", "epoch"]),
        (["--epochs=3"], ["no parameter 'epochs'", "epoch"]),
        (["--batchsize", "3"], ["no parameter 'batchsize'", "batch_size"]),
        (["--epoch", "3", "--zzzzzz", "1"], ["no parameter 'zzzzzz'", "It takes"]),
        (["--no-epoch"], ["no parameter 'no-epoch'"]),
        (["--epoch", "many"], ["'epoch' takes a whole number (int), not 'many'", "10"]),
        (["--epoch", "1.5"], ["'epoch' takes a whole number (int), not '1.5'"]),
        (["--epoch="], ["'epoch' takes a whole number"]),
        (["--lr", "fast"], ["'lr' takes a number (float), not 'fast'"]),
        (["--shuffle=maybe"], ["'shuffle' takes true or false (bool), not 'maybe'"]),
        (["--sizes", "1,2"], ["'sizes' takes a list"]),
        (["--options", "[]"], ["'options' takes a dict"]),
        (["--sizes", "{[]: 1}"], ["'sizes' takes a list"]),
        (["--name"], ["name"]),
        (["--epoch"], ["epoch"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
def test_what_does_not_fit_is_told(read: Read, words: list[str], expected: list[str]) -> None:
    with pytest.raises(RemoteError) as error:
        read("train.ipynb", *words)
    assert [part for part in expected if part not in str(error.value)] == []


def test_a_long_wrong_value_is_shortened(read: Read) -> None:
    with pytest.raises(RemoteError) as error:
        read("train.ipynb", "--epoch", "x" * 100_000)
    assert len(str(error.value)) < 500


def test_a_typo_after_a_value_that_looks_like_a_flag_is_still_found(read: Read) -> None:
    with pytest.raises(RemoteError, match="'epcoh'"):
        read("train.ipynb", "--name", "--lr", "--epcoh", "3")


def test_flags_of_a_program_that_is_not_named_yet_are_unknown(read: Read) -> None:
    with pytest.raises(RemoteError, match="There is no flag --epoch."):
        read("--epoch", "3", "train.ipynb")


def test_a_notebook_without_parameters_says_so(read: Read) -> None:
    with pytest.raises(RemoteError, match="takes none"):
        read("train.ipynb", "--epoch", "3", parameters="")


def test_the_help_shows_comments_as_they_are(tmp_path: Path) -> None:
    found = Parameter("rate", "float", "0.1", "100 %(x)s of %d")
    program = notebook.Notebook(Path("a.ipynb"), (found,))
    reader = parser()
    reader.read(["a.ipynb"], lambda name: program)
    assert "100 %(x)s of %d (float, default: 0.1)" in reader.help()


def test_a_sweep_takes_alternatives_each_of_its_type() -> None:
    parser = TaskParser("inv x", "", [], several=True)
    made = [
        Parameter("lr", "float", "0.1"),
        Parameter("sizes", "list", "[1]"),
        Parameter("shuffle", "bool", "True"),
        Parameter("augment", "bool", "True"),
    ]
    parser._add_parameters(cast(Any, SimpleNamespace(parameters=made)))
    words = ["--lr", "0.1,1e-3", "--sizes=[1, 2],[3]", "--shuffle", "yes,no", "--no-augment"]
    found = parser.read(words).parameters
    assert found["lr"] == [0.1, 0.001] and found["sizes"] == [[1, 2], [3]]
    assert found["shuffle"] == [True, False] and found["augment"] == [False]
    again = parser.read(["--lr", "0.5", "--shuffle", "--no-shuffle"]).parameters
    assert again["lr"] == [0.1, 0.001, 0.5] and again["shuffle"] == [True, False, True, False]
    with pytest.raises(RemoteError, match="'x'"):
        parser.read(["--lr", "0.1,x"])
