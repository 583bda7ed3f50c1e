"""Images or features in one file: the three parts of an experiment, and how they were made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILE = "parts.npz"
NAMES = ("train", "valid", "test")


class Missing(RuntimeError):
    """No file where one was named."""


@dataclass(frozen=True)
class Part:
    """`x` has one row for each number in `y`, which says the place of its class in `classes`."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Parts:
    """What is learnt from, what choices are made by, and what is looked at once, at the end.

    `made` says how they were made: plain values, as JSON has them.
    """

    train: Part
    valid: Part
    test: Part
    classes: tuple[str, ...]
    made: Mapping[str, Any]

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """In the order of their use."""
        return self.train, self.valid, self.test

    def save(self, folder: Path) -> None:
        """Write the file. Whoever reads it meanwhile sees the old one or the new one, whole."""
        folder.mkdir(parents=True, exist_ok=True)
        named = list(zip(NAMES, self.parts))
        arrays = {f"{name}_{key}": getattr(part, key) for name, part in named for key in "xy"}
        new = folder / f"{FILE}.{os.getpid()}.tmp"
        try:
            with open(new, "wb") as file:
                np.savez(file, classes=self.classes, made=json.dumps(self.made), **arrays)
            os.replace(new, folder / FILE)
        finally:
            new.unlink(missing_ok=True)


def load(folder: Path) -> Parts:
    """Raises FileNotFoundError."""
    with np.load(folder / FILE) as file:
        parts = (Part(file[f"{name}_x"], file[f"{name}_y"]) for name in NAMES)
        return Parts(*parts, tuple(map(str, file["classes"])), json.loads(str(file["made"])))


def made(folder: Path) -> Any:
    """How the file in `folder` was made, without reading it whole; None where there is none."""
    try:
        with np.load(folder / FILE) as file:
            return json.loads(str(file["made"]))
    except FileNotFoundError:
        return None
