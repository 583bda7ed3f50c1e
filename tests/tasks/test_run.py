"""What `inv remote-run` takes for its program; nothing is pushed where that can't be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.tasks import run


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a target: a command that comes as far as that is told so."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "tasks.py").touch()
    (root / "src/train.py").touch()
    monkeypatch.chdir(root)
    return root


def test_without_a_program_it_says_what_to_type() -> None:
    with pytest.raises(Exit) as ended:
        run.remote_run(Context())
    assert ended.value.code == 2
    assert str(ended.value).splitlines() == [
        "inv remote-run needs a program.",
        "Such as: inv remote-run train.ipynb --epoch 10",
    ]


@pytest.mark.parametrize(
    ("program", "shell", "arguments"),
    [
        ("src/train.py", "ls", ()),
        ("src/train.py", "ls", ("x",)),
        ("", "ls", ("nvidia-smi", "-L")),
    ],
)
def test_of_program_shell_line_and_command_only_one_can_run(
    program: str, shell: str, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(Exit, match="only one of them can run"):
        run.remote_run(Context(), program=program, shell=shell, arguments=arguments)


@pytest.mark.parametrize(
    ("program", "shell", "arguments"),
    [
        ("src/train.py", "", ()),
        # Arguments of a program are not a command.
        ("src/train.py", "", ("-m", "lr=0.1")),
        ("", "echo $HOME | cat", ()),
        ("", "", ("nvidia-smi", "-L")),
    ],
)
def test_each_of_them_alone_is_one(program: str, shell: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(Exit, match="TARGET_DIR is not set"):
        run.remote_run(Context(), program=program, shell=shell, arguments=arguments)


def test_a_program_that_is_not_there_is_told_before_any_target_is_asked() -> None:
    with pytest.raises(Exit, match=r"There is no script 'src/nothing\.py'"):
        run.remote_run(Context(), program="src/nothing.py")
