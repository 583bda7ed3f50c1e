"""A machine with AMD's GPUs, as far as amd-smi or rocm-smi can tell."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("amd-smi")


class FakeAmd:
    """`count` cards, of which the program tells that is named."""

    def __init__(self, folder: Path, program: str, count: int = 4) -> None:
        self.bin, self.file = folder / "bin", folder / "state.json"
        self.bin.mkdir(parents=True)
        card = {"name": "AMD Instinct MI300X", "total": 196592, "used": 283, "load": 0}
        self.state: dict[str, Any] = {
            "gpus": [{"serial": f"0x{0xF - n:X}B2C3D4E5F60718", **card} for n in range(count)],
            "processes": [],
            "wrapped": False,
            "failure": None,
        }
        self.change()
        shutil.copy(PROGRAM, self.bin / "fake.py")
        words = shlex.join([sys.executable, "-IS", str(self.bin / "fake.py"), program])
        script = self.bin / program
        script.write_text(f'#!/bin/sh\nFAKE_GPUS={shlex.quote(str(self.file))} exec {words} "$@"\n')
        script.chmod(0o755)

    def path(self) -> str:
        """A PATH on which the program comes first."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def uuids(self) -> list[str]:
        """What ROCm calls the cards."""
        return [f"GPU-{int(card['serial'], 16):016x}" for card in self.state["gpus"]]

    def change(self, **state: Any) -> None:
        """Change the machine: `change(failure="no driver")`."""
        self.state.update(state)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        os.replace(temporary, self.file)

    def card(self, index: int, **fields: Any) -> None:
        """Change a card: `card(0, used=5000)`."""
        self.state["gpus"][index].update(fields)
        self.change()

    def use(self, index: int, pid: int, memory: int = 1000) -> None:
        """Let the process `pid` compute on a card until it dies."""
        self.state["processes"].append({"gpu": index, "pid": pid, "memory": memory})
        self.change()
