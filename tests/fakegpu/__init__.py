"""A machine with GPUs, as far as nvidia-smi can tell.

    fake = FakeGpus(tmp_path / "gpus", count=4)
    monkeypatch.setenv("PATH", fake.path())
    fake.use(0, os.getpid(), memory=2000)

The program on the PATH knows its state file by itself, so it serves jobs that are started by a
server with an environment of its own, as long as its folder `bin` comes first on their PATH.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("nvidia-smi")


class FakeGpus:
    """`count` cards; `card` are fields of each, e.g. {"memory.total": 24576}; `python` runs it."""

    def __init__(
        self,
        folder: Path,
        count: int = 4,
        card: dict[str, Any] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.bin = folder / "bin"
        self.file = folder / "state.json"
        self.log = folder / "calls"
        self.bin.mkdir(parents=True)
        self.log.touch()
        # Anybody on the machine may ask.
        self.log.chmod(0o666)
        self.state: dict[str, Any] = {
            "gpus": [{"uuid": uuid(index), **(card or {})} for index in range(count)],
            "processes": [],
            "failure": None,
            "delay": 0,
            "cuda": "12.4",
            "calls": str(self.log),
        }
        self.save()
        self._install(python)

    def path(self) -> str:
        """A PATH on which this nvidia-smi comes first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def uuids(self) -> list[str]:
        return [card["uuid"] for card in self.state["gpus"]]

    def calls(self) -> list[str]:
        """The arguments of each call so far."""
        return self.log.read_text().splitlines()

    def card(self, index: int, **fields: Any) -> None:
        """Change a card: `card(0, memory_used=5000)`; one underscore is a dot."""
        renamed = {name.replace("_", ".", 1): value for name, value in fields.items()}
        self.state["gpus"][index].update(renamed)
        self.save()

    def use(self, index: int, pid: int, memory: int = 1000, mig: int | None = None) -> None:
        """Let the process `pid` compute on a card, or a MIG device of it, until it dies."""
        process = {"gpu": index, "pid": pid, "memory": memory, "mig": mig}
        self.state["processes"].append(process)
        self.save()

    def divide(self, index: int, *profiles: str, memory: int = 4864) -> list[str]:
        """Have a card consist of MIG devices; their UUIDs."""
        uuids = [f"MIG-{index:08x}-2222-5333-8444-{n:012x}" for n, _ in enumerate(profiles)]
        self.state["gpus"][index]["mig"] = [
            {"uuid": uuid, "profile": profile, "total": memory, "used": 3}
            for uuid, profile in zip(uuids, profiles)
        ]
        self.save()
        return uuids

    def change(self, **state: Any) -> None:
        """Change the machine: `change(failure="driver")`, `change(delay=5)`."""
        self.state.update(state)
        self.save()

    def save(self) -> None:
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        os.replace(temporary, self.file)

    def _install(self, python: str) -> None:
        program = self.bin / "fake.py"
        shutil.copy(PROGRAM, program)
        names = [python, "-IS", str(program)]
        words = " ".join(shlex.quote(name) for name in names)
        script = self.bin / "nvidia-smi"
        state = shlex.quote(str(self.file))
        script.write_text(f'#!/bin/sh\nFAKE_GPUS={state} exec {words} "$@"\n')
        script.chmod(0o755)


def uuid(index: int) -> str:
    """The UUID of a card. The later ones sort first, as nothing promises otherwise."""
    return f"GPU-{0xF - index:08x}-1111-4222-8333-{index:012x}"
