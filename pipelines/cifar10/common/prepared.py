"""Prepared images: train.npz and test.npz, and data.json, which tells what they must be.

Each .npz holds `images` (number, 32, 32, 3), bytes, and `labels` (number), whole numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common.step import StepError

SIZE = 32
PARTS = ("train", "test")
NOTE = "data.json"


@dataclass(frozen=True)
class Part:
    """The images for training, or those for tests."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Note:
    """What is known of prepared images: what they show, the classes, how many, their sums."""

    data: str
    classes: tuple[str, ...]
    images: dict[str, int]
    sha256: dict[str, str]


def write(folder: Path, data: str, classes: Sequence[str], parts: dict[str, Part]) -> Note:
    """Write prepared images into an empty folder."""
    for name, part in parts.items():
        np.savez_compressed(_file(folder, name), images=part.images, labels=part.labels)
    note = Note(
        data=data,
        classes=tuple(classes),
        images={name: len(part.images) for name, part in parts.items()},
        sha256={name: sha256(_file(folder, name)) for name in parts},
    )
    (folder / NOTE).write_text(json.dumps(vars(note), indent=2), encoding="utf-8")
    return note


def check(folder: Path) -> Note:
    """What the folder holds; raises StepError where that isn't what was written once."""
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        note = Note(**{**found, "classes": tuple(found["classes"])})
        changed = [name for name in PARTS if sha256(_file(folder, name)) != note.sha256[name]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StepError(f"{folder} holds no prepared images ({error}).") from error
    if changed:
        raise StepError(f"{_file(folder, changed[0])} was changed since it was written.")
    return note


def read(folder: Path, name: str) -> Part:
    """One part of a folder that was checked."""
    with np.load(_file(folder, name)) as file:
        return Part(file["images"], file["labels"])


def sha256(file: Path) -> str:
    """The hash sum of a file."""
    total = hashlib.sha256()
    with open(file, "rb") as opened:
        while piece := opened.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"
