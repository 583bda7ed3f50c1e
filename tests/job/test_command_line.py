"""What the words of a command line say."""

from __future__ import annotations

import re
import shlex

import pytest

from remote.job.command_line import KEY, MANY, after_program, parameters
from remote.job.kinds import COMMAND
from remote.job.spec import JobSpec


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--n_layer=2 --lr 0.1", {"n_layer": "2", "lr": "0.1"}),
        ("--n-layer 2", {"n_layer": "2"}),
        ("lr=0.1 model.depth=3 name='a b'", {"lr": "0.1", "model.depth": "3", "name": "a b"}),
        ("-n 3 -v", {"n": "3", "v": "True"}),
        ("--fast --lr -0.5e-3 --no-cuda", {"fast": "True", "lr": "-0.5e-3", "no_cuda": "True"}),
        ("0.7 0.2", {"arg_1": "0.7", "arg_2": "0.2"}),
        ("train --lr 1e-3 data.csv", {"arg_1": "train", "lr": "1e-3", "arg_2": "data.csv"}),
        ("--layers 64 32 16 --out x", {"layers": "64 32 16", "out": "x"}),
        ("--tag a --tag b", {"tag": "a, b"}),
        ("--eq=a=b --empty=", {"eq": "a=b", "empty": ""}),
        ("--lr 1 -- --not-a-flag", {"lr": "1", "not_a_flag": "True"}),
        ("config/file.yaml -", {"arg_1": "config/file.yaml", "arg_2": "-"}),
        ("http://host/?a=b", {"arg_1": "http://host/?a=b"}),
        ("--日本 1 --a/b?c 2", {"日本": "1", "a_b_c": "2"}),
        ("--. 1 ---", {"arg_1": "---"}),
        ("", {}),
    ],
)
def test_arguments_are_parameters(words: str, expected: dict[str, str]) -> None:
    assert parameters(shlex.split(words)) == expected


def test_mlflows_limits_are_kept() -> None:
    given = parameters([f"--{'k' * 300}=1", *(f"--f{n}={n}" for n in range(200))])
    assert len(given) == MANY and max(map(len, given)) == KEY
    assert all(re.fullmatch(r"[/\w.\- :]*", name) for name in given)


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("python train.py --lr 1", "--lr 1"),
        ("/usr/bin/python3.11 -u -m pkg.train a=1", "a=1"),
        ("torchrun --nproc_per_node 2 src/train.py --lr 1", "--lr 1"),
        ("python -c 'print(1)' x", ""),
        ("kedro run --env prod", "run --env prod"),
        ("sh -c 'python x.py --lr 1'", ""),
    ],
)
def test_a_commands_program_is_no_argument(command: str, given: str) -> None:
    assert list(after_program(shlex.split(command))) == shlex.split(given)


def test_a_command_reads_as_it_was_typed() -> None:
    def job(*words: str, source: str = "", kind: str = COMMAND.name) -> JobSpec:
        return JobSpec(kind=kind, source=source, name="x", arguments=words)

    shell = job("sh", "-c", "for x in 1 2; do python src/tr.py $x; done")
    assert shell.program == shell.command_line == "for x in 1 2; do python src/tr.py $x; done"
    assert job("python", "src/tr.py", "a b").program == "python src/tr.py 'a b'"
    script = job("--lr", "1", source="src/tr.py", kind="script")
    assert (script.program, script.command_line) == ("src/tr.py", "src/tr.py --lr 1")
