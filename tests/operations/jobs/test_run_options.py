"""The flags of `inv remote-run` as one object."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from remote.errors import JobError
from remote.operations.jobs.run_options import RunOptions
from remote.options import UnitError, options_of
from remote.tasks.arguments import TaskParser


def read(*words: str) -> RunOptions:
    options = TaskParser("inv remote-run", "", [], RunOptions).read(words).values["options"]
    assert isinstance(options, RunOptions)
    return options


@pytest.mark.parametrize("flag", ["--cpus", "--nodes"])
def test_none_of_what_a_job_can_not_be_without_is_refused(flag: str) -> None:
    with pytest.raises(UnitError, match=f"{flag} takes a number from 1 on"):
        read(flag, "0")


def test_without_flags_it_is_the_default() -> None:
    assert read() == RunOptions()
    assert read().env == {} and read().extras == ()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpus", "2"], {"gpus": 2}),
        (["--gpus=0"], {"gpus": 0}),
        (["--gpus", "0.5"], {"gpus": 0.5}),
        (["--gpus-memory", "20G"], {"gpu_memory": 20480}),
        (["--gpus_memory=1G"], {"gpu_memory": 1024}),
        (["--gpus-model", "A100"], {"gpu_model": "A100"}),
        (
            ["--gpus-exclude", "0, 3", "--gpus-exclude=GPU-6c0f-11"],
            {"gpu_exclude": ("0", "3", "GPU-6c0f-11")},
        ),
        (
            ["--sbatch", "-p 'a b' --mem=4G", "--sbatch=--hold", "--nodes", "2"],
            {"sbatch": ("-p", "a b", "--mem=4G", "--hold"), "nodes": 2},
        ),
        (["--no-record"], {"record": False}),
        (["--timeout", "8h", "--retries", "3"], {"timeout": 28800, "retries": 3}),
        (["--env", "A=1", "--env=B=x=y"], {"env": {"A": "1", "B": "x=y"}}),
        (
            ["--tag", "a b=", "--extra", "x", "--extra", "y"],
            {"tags": {"a b": ""}, "extras": ("x", "y")},
        ),
        (["--name", "--env", "--notify", "-x; y"], {"name": "--env", "notify": "-x; y"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_become_values(words: list[str], expected: dict[str, Any]) -> None:
    assert read(*words) == RunOptions(**expected)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--gpus", "x"], UnitError, "--gpus takes a number, not 'x'"),
        (["--gpus", "1.5"], UnitError, "or a part of one GPU, not '1.5'"),
        (["--gpus", "0.001"], UnitError, "or a part of one GPU"),
        (["--gpus", "0.5", "--gpus-memory", "1G"], JobError, "has a part of its memory"),
        (["--retries", "-1"], UnitError, "--retries takes a number"),
        (["--gpus-memory", "20"], UnitError, "--gpus-memory takes a size"),
        (["--timeout", "soon"], UnitError, "--timeout takes a time"),
        (["--env", "A"], JobError, "--env takes KEY=VALUE, not 'A'"),
        (["--env", "1A=x"], JobError, "no variable can be called .1A."),
        (["--tag", "=x"], JobError, "--tag takes KEY=VALUE"),
        (
            ["--gpus-memory", "1G", "--gpus", "0"],
            JobError,
            "--gpus-memory asks for a GPU, and --gpus 0 means",
        ),
        (["--gpus-model", "L4", "--gpus", "0"], JobError, "--gpus-model asks for a GPU"),
        (["--idle", "2h", "--gpus", "0"], JobError, "--idle looks at a GPU"),
        (["--sbatch", "-p 'a"], JobError, "--sbatch .* can't be split into words"),
        (["--gpus-exclude", "0,"], JobError, "--gpus-exclude takes indices or UUIDs of GPUs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_told(words: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(*words)


def test_memory_asks_for_one_gpu_and_the_settings_are_heeded() -> None:
    settings = {"REMOTE_NOTIFY": "mail me"}
    completed = read("--gpus-memory", "1G").completed(settings)
    assert (completed.gpus, completed.notify) == (1, "mail me")
    assert read("--notify", "x", "--gpus", "2").completed(settings).notify == "x"
    assert read("--gpus-model", "L4").completed({}).gpus == 1
    assert read("--gpus-exclude", "0").completed({}).gpus is None
    assert read().completed({}) == RunOptions()


def test_a_part_of_a_gpu_is_one_gpu_and_how_much_of_it() -> None:
    assert read("--gpus", "0.5").leased == {"gpus": 1, "gpu_share": 0.5}
    assert read("--gpus", "2").leased == {"gpus": 2, "gpu_share": 1.0}
    assert read().leased == {"gpus": None, "gpu_share": 1.0}


def test_every_field_is_a_flag_of_its_own() -> None:
    rows = options_of(RunOptions)
    assert list(rows) == [member.name for member in fields(RunOptions)]
    assert len({row.flag for row in rows.values()}) == len(rows)
    assert all(row.help for row in rows.values())
