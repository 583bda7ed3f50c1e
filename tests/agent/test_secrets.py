"""Secrets of a target: set, forgotten, and for their owner's eyes alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.agent import target_dir
from remote.errors import JobError, TargetError
from remote.job.messages.target import SecretAnswer, SecretRequest
from tests.agent.job_folder import KEY


def change(name: str = "", value: str | None = None) -> SecretAnswer:
    return target_dir.change_secret(SecretRequest(key=KEY, name=name, value=value))


def test_only_the_names_are_told_in_order(root: Path) -> None:
    assert change() == SecretAnswer(())
    change("TOKEN", "x y'\"$\n日本")
    assert change("API_KEY", "") == SecretAnswer(("API_KEY", "TOKEN")) == change()
    assert target_dir.read_secrets(root) == {"API_KEY": "", "TOKEN": "x y'\"$\n日本"}


def test_one_that_is_set_again_has_the_new_value(root: Path) -> None:
    change("TOKEN", "old")
    assert change("TOKEN", "new") == SecretAnswer(("TOKEN",))
    assert target_dir.read_secrets(root) == {"TOKEN": "new"}


def test_one_is_forgotten_and_the_others_stay(root: Path) -> None:
    change("A", "1")
    change("B", "2")
    assert change("A") == SecretAnswer(("B",))
    assert target_dir.read_secrets(root) == {"B": "2"}
    with pytest.raises(
        JobError, match="no secret A on this target.\nList them: inv remote-secrets"
    ):
        change("A")


def test_without_a_name_nothing_changes(root: Path) -> None:
    change("A", "1")
    before = target_dir.secrets_file(root).stat()
    assert change("", "value") == SecretAnswer(("A",))
    assert target_dir.secrets_file(root).stat() == before


@pytest.mark.parametrize("name", ["1A", "A-B", "A B", "A=B", "A\n", "Ä", "$A", "A\0"])
def test_what_can_not_be_a_variable_is_refused(root: Path, name: str) -> None:
    with pytest.raises(JobError, match="environment variable.\nSuch a name has letters"):
        change(name, "value")
    assert not target_dir.secrets_file(root).exists()


@pytest.mark.parametrize(
    ("value", "words"), [("a\0b", "holds a NUL byte"), ("x" * (128 << 10), "is too long")]
)
def test_what_no_job_could_be_started_with_is_refused(root: Path, value: str, words: str) -> None:
    change("A", "1")
    with pytest.raises(JobError, match=words):
        change("A", value)
    assert target_dir.read_secrets(root) == {"A": "1"}


def test_the_longest_value_that_fits_starts_a_program(root: Path) -> None:
    fits = "x" * (target_dir.LONGEST_VARIABLE - len("A=") - 1)
    change("A", fits)
    assert subprocess.run(["true"], env=target_dir.read_secrets(root)).returncode == 0


def test_the_file_is_for_its_owner_alone_whatever_it_was(root: Path) -> None:
    for _ in range(2):
        change("A", "1")
        assert target_dir.secrets_file(root).stat().st_mode & 0o777 == 0o600
        target_dir.secrets_file(root).chmod(0o644)


def test_a_file_that_can_not_be_read_is_told_and_kept(root: Path) -> None:
    change("TOKEN", "x")
    file = target_dir.secrets_file(root)
    file.write_text('{"TOKEN": "x", ')
    with pytest.raises(TargetError, match="secrets.json"):
        change("OTHER", "y")
    assert file.read_text() == '{"TOKEN": "x", '
