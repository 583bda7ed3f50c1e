"""What is found out of an rsync: its words as versions of it say them are in `rsync_helps/`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from remote.transport import rsync_dialect
from remote.transport.rsync_dialect import Dialect, dialect

HELPS = Path(__file__).with_name("rsync_helps")

#: Whether `--no-inc-recursive --version` ends well, as seen with each of them.
LISTS_AT_ONCE = {"2.6.9": False, "3.0.9": True, "3.1.3": True, "3.4.1": True, "openrsync": False}

#: openrsync says it on standard error. `calls` gets a line for each start.
FAKE = """#!/bin/sh
echo "$*" >>{calls}
case "$*" in
    --help) cat {help} >&{stream};;
    "--no-inc-recursive --version") exit {code};;
    *) exit 1;;
esac
"""


class Machine:
    """One whose rsync is of some version; `calls` are the command lines that it got."""

    def __init__(self, folder: Path) -> None:
        self.program, self._calls = folder / "bin" / "rsync", folder / "calls"
        self.program.parent.mkdir()

    def install(self, version: str) -> None:
        text = FAKE.format(
            calls=shlex.quote(str(self._calls)),
            help=shlex.quote(str(HELPS / f"{version}.txt")),
            stream=2 if version == "openrsync" else 1,
            code=int(not LISTS_AT_ONCE[version]),
        )
        self.program.write_text(text)
        self.program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines()

    def next_command(self) -> Dialect:
        """What another process finds."""
        rsync_dialect._noted.cache_clear()
        return dialect()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.program.parent}{os.pathsep}{os.environ['PATH']}")
    return machine


@pytest.mark.parametrize("version", LISTS_AT_ONCE)
def test_what_versions_can_do(machine: Machine, version: str) -> None:
    machine.install(version)
    known = machine.next_command()
    assert bool(known.only("--no-inc-recursive")) == LISTS_AT_ONCE[version]
    assert known.negates == LISTS_AT_ONCE[version]
    assert {"--delete", "--backup-dir", "--exclude-from", "--rsync-path"} <= known.options
    assert bool(known.only("--info=progress2")) == (version[:3] in ("3.1", "3.4"))
    assert bool(known.only("--delete-delay")) == (version != "2.6.9")
    if version != "openrsync":  # Apple has added them to its own
        assert known.only("--delay-updates", "--prune-empty-dirs")


def test_a_program_is_asked_once(machine: Machine) -> None:
    machine.install("3.1.3")
    known = machine.next_command()
    assert machine.calls == ["--help", "--no-inc-recursive --version"]
    assert machine.next_command() == known and len(machine.calls) == 2
    machine.install("2.6.9")
    assert not machine.next_command().only("--no-inc-recursive")
    assert len(machine.calls) == 4


@pytest.mark.parametrize("text", ["", "[]", '{"program": 1}', "\xff"])
def test_a_note_that_can_not_be_read_is_made_anew(machine: Machine, text: str) -> None:
    machine.install("3.1.3")
    known = machine.next_command()
    note = Path.home() / rsync_dialect.CACHE / "rsync.json"
    note.write_text(text, "latin-1")
    assert machine.next_command() == known and len(machine.calls) == 4


def test_where_nothing_can_be_noted_it_is_asked_each_time(machine: Machine) -> None:
    machine.install("3.4.1")
    (Path.home() / ".cache").write_text("no folder")
    assert machine.next_command() == machine.next_command()
    assert len(machine.calls) == 4


def test_the_real_one_is_asked_likewise() -> None:
    known = dialect()
    assert {"--delete", "--backup-dir", "--exclude-from", "--rsync-path"} <= known.options
    assert "--made-up" not in known.options


def test_only_keeps_what_there_is_by_its_name() -> None:
    known = Dialect.of("--info=FLAGS    fine\n-n, --dry-run  x\n [--delay-updates] [--del | --x]")
    assert known.only("--info=progress2", "--dry-run", "--delay") == [
        "--info=progress2",
        "--dry-run",
    ]
    assert known.only("--delay-updates", "--del") == ["--delay-updates", "--del"]
