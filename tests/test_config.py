"""Settings: who wins, and that values arrive as they were typed, through a real make."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project, find_project
from remote.errors import ConfigError
from remote.settings import load_settings, make_variables
from tests.conftest import ROOT

PRINTER = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from remote.settings import load_settings, make_variables
found = {{"made": make_variables(), "settings": dict(load_settings(Path.cwd()))}}
sys.stdout.write(json.dumps(found))
"""

HOSTILE = [
    "two words",
    " leading and trailing ",
    'it\'s "quoted"',
    "$",
    "$$",
    "$HOME",
    "$(shell touch pwned)",
    "$(touch pwned)",
    "`touch pwned`",
    "${PATH}",
    "back\\slash",
    "\\",
    "ends with\\",
    "\\\\two",
    "\\ blank",
    "a\nb",
    "a\n\nb\n",
    "tab\there",
    "日本語 テキスト",
    "-leading dash",
    "--flag",
    "#comment",
    "a#b",
    "a=b=c",
    ":=x",
    "%",
    "*",
    "~",
    "a;b&c|d",
    "{}",
    "é" * 100,
    "x" * 100_000,
    "words " * 16_666,
]


def unexport_line() -> str:
    """The line of the project's own Makefile that keeps make's hands off the values."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    return next(line for line in lines if line.startswith("unexport "))


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Run a real make with these arguments; what the settings were below it comes back."""
    folder = tmp_path / "made"
    folder.mkdir()
    script = tmp_path / "show.py"
    script.write_text(PRINTER.format(root=str(ROOT)))
    recipe = f"show:\n\t@'{sys.executable}' '{script}'\nagain:\n\t@$(MAKE) -s show\n"
    (folder / "Makefile").write_text(f"{unexport_line()}\n\n{recipe}")

    def run(*arguments: str, goal: str = "show", **env: str) -> Any:
        done = subprocess.run(
            ["make", "-s", goal, *arguments],
            cwd=folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not (folder / "pwned").exists()
        return json.loads(done.stdout)

    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:20]))
def test_a_make_variable_arrives_as_it_was_typed(made: Any, value: str) -> None:
    expected = value.lstrip(" ")
    assert made(f"note={value}")["made"] == {"note": expected}


@pytest.mark.parametrize("value", ["a b$(x)\\ 'q'", "$$", "-n", "日本\nx"])
def test_a_make_below_make_sees_the_same(made: Any, value: str) -> None:
    assert made(f"note={value}", goal="again")["made"]["note"] == value


def test_several_variables_and_make_options_do_not_mix(made: Any) -> None:
    found = made("-k", "-j2", "--no-print-directory", "epoch=100", "a=b c", "empty=", "t=x y=z")
    assert found["made"] == {"epoch": "100", "a": "b c", "empty": "", "t": "x y=z"}


@pytest.mark.parametrize("sign", [":=", "::=", "+=", "?="])
def test_other_signs_of_assignment_count_too(made: Any, sign: str) -> None:
    assert made(f"note{sign}a b")["made"] == {"note": "a b"}


def test_without_make_there_are_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAKEFLAGS", raising=False)
    assert make_variables() == {}


@pytest.mark.parametrize(
    "flags",
    ["", "k", "ks -j4 --jobserver-auth=3,4", " --no-print-directory", "w -- ", "-I include/x=y"],
)
def test_flags_of_make_are_no_variables(flags: str) -> None:
    assert make_variables(flags) == {}


def test_the_flags_of_gnu_make_3_81_are_read() -> None:
    """It writes the same, but ` -- ` with two blanks and without `--no-print-directory`."""
    flags = r"s --  TARGET_DIR=user@host:/a\ b epoch=1"
    assert make_variables(flags) == {"TARGET_DIR": "user@host:/a b", "epoch": "1"}


def test_the_command_line_comes_before_the_environment_and_env_file(made: Any) -> None:
    (made.folder / ".env").write_text("TARGET_DIR=file:/f\nONLY_FILE=1\nBOTH=file\n")
    settings = made("TARGET_DIR=line:/l", TARGET_DIR="env:/e", BOTH="env")["settings"]
    assert settings["TARGET_DIR"] == "line:/l"
    assert settings["BOTH"] == "env"
    assert settings["ONLY_FILE"] == "1"


def test_an_empty_value_does_not_hide_the_next_one(made: Any) -> None:
    (made.folder / ".env").write_text("TARGET_DIR=file:/f\n")
    assert made("TARGET_DIR=", TARGET_DIR="")["settings"]["TARGET_DIR"] == "file:/f"


def test_env_files_keep_quotes_dollars_and_japanese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("A='x $y z'\nB=\"日本 #1\"\nC=plain # comment\nD\n", "utf-8")
    settings = load_settings(tmp_path)
    assert (settings["A"], settings["B"], settings["C"]) == ("x $y z", "日本 #1", "plain")
    assert "D" not in settings


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"=\n= =\n'", b"A='never closed\nB=1\n"])
def test_a_broken_env_file_is_no_bug(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)
    try:
        load_settings(tmp_path)
    except ConfigError as error:
        assert ".env" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "TARGET_DIR='host:/new\n",
        'TARGET_DIR="host:/new" new\n',
        "TARGET_DIR: host:/new\n",
        "set TARGET_DIR=host:/new\n",
        "export TARGET_DIR host:/new\n",
        "TARGET_DIR=host:/old\nTARGET_DIR='host:/new\n",
        "NOTE='it\nTARGET_DIR=host:/new\nOTHER='\n",
        'NOTE="it\nTARGET_DIR=host:/new\nOTHER="x"\n',
    ],
)
def test_a_target_that_is_written_wrong_is_not_passed_over_for_an_older_one(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(ConfigError, match="can't be read where it sets TARGET_DIR"):
        load_settings(tmp_path)


def test_settings_on_a_disk_that_is_not_mounted_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("/no/such/disk/env")
    with pytest.raises(ConfigError, match=".env can't be read: .*No such file"):
        load_settings(tmp_path)
    (tmp_path / ".env").unlink()
    # Some call their environment so.
    (tmp_path / ".env").mkdir()
    assert "TARGET_DIR" not in load_settings(tmp_path)


def test_what_other_programs_alone_understand_in_it_is_theirs(tmp_path: Path) -> None:
    text = "\ufeffTARGET_DIR=host:/a # TARGET_DIR: b\r\n# TARGET_DIR: c\r\nif [ -n x ]\r\nA='b\r\n"
    (tmp_path / ".env").write_text(text, "utf-8", newline="")
    assert load_settings(tmp_path)["TARGET_DIR"] == "host:/a"


def test_no_target_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Project(tmp_path, {}).target()
    assert "TARGET_DIR is not set" in caught.value.message
    assert ".env" in caught.value.hint


def test_the_target_given_comes_before_the_setting(tmp_path: Path) -> None:
    project = Project(tmp_path, {"TARGET_DIR": "host:/a"})
    assert str(project.target()) == "host:/a"
    assert str(project.target("host:/b")) == "host:/b"


@pytest.mark.parametrize("where", ["proj", "proj/src", "proj/.remote/x", ".", "proj/../proj"])
def test_a_target_in_or_around_the_project_is_refused(tmp_path: Path, where: str) -> None:
    root = tmp_path / "proj"
    root.mkdir()
    with pytest.raises(ConfigError, match="overlaps this project"):
        Project(root, {}).target(f"{tmp_path}/{where}")


def test_a_target_that_is_the_project_by_a_link_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "proj"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    for path in ("link", "link/below"):
        with pytest.raises(ConfigError, match="overlaps this project"):
            Project(root, {}).target(f"{tmp_path}/{path}")
    with pytest.raises(ConfigError, match="overlaps this project"):
        Project(tmp_path / "link", {}).target(str(root))


def test_a_sibling_is_a_good_target(tmp_path: Path) -> None:
    root = tmp_path / "proj"
    root.mkdir()
    assert Project(root, {}).target(f"{tmp_path}/proj2").path == f"{tmp_path}/proj2"


@pytest.mark.parametrize("mark", ["tasks.py", "pyproject.toml", ".rsyncignore"])
def test_the_project_is_found_from_below(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).touch()
    below = tmp_path / "src" / "notebooks"
    below.mkdir(parents=True)
    assert find_project(below).root == tmp_path.resolve()


def test_without_a_mark_the_working_directory_is_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    monkeypatch.chdir(lonely)
    assert find_project().root == lonely.resolve()
    assert find_project().state == lonely.resolve() / ".remote"


def test_the_usual_target_is_not_what_was_typed_for_make_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("TARGET_DIR=a:proj\n")
    assert Project(tmp_path, {"TARGET_DIR": "a:proj"}).usual_target() == "a:proj"
    monkeypatch.setenv("MAKEFLAGS", " -- TARGET_DIR=b:proj")
    typed = Project(tmp_path, load_settings(tmp_path))
    assert str(typed.target()) == "b:proj" and typed.usual_target() == "a:proj"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TARGETDIR", "Did you mean TARGET_DIR?"),
        ("TARGET", "Did you mean TARGET_DIR?"),
        ("REMOTE_NOTFY", "Did you mean REMOTE_NOTIFY?"),
        ("REMOTE_HOURS_OF_WORK", "There are TARGET_DIR, "),
    ],
)
def test_a_setting_that_is_none_is_refused(
    name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", f" -- {name}=x")
    with pytest.raises(ConfigError, match="make's command line") as caught:
        load_settings(tmp_path)
    assert meant in str(caught.value)
    monkeypatch.delenv("MAKEFLAGS")
    (tmp_path / ".env").write_text(f"{name}=x\n")
    with pytest.raises(ConfigError, match=f"no setting {name} \\(in .env\\)"):
        load_settings(tmp_path)


def test_variables_of_other_programs_and_parameters_for_make_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_CONTAINERS", "true")
    monkeypatch.setenv("TARGET", "x86_64")
    monkeypatch.setenv("MAKEFLAGS", " -- input_file=train.ipynb TARGET=3")
    (tmp_path / ".env").write_text("WANDB_API_KEY=x\nMLFLOW_TRACKING_URI=y\n")
    assert load_settings(tmp_path)["TARGET"] == "3"
    monkeypatch.setenv("REMOTE_NOTFY", "true")
    with pytest.raises(ConfigError, match="in the environment"):
        load_settings(tmp_path)
