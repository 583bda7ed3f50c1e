"""The data sets of config/catalog.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lib import datasets
from lib.datasets import Images
from lib.settings import CATALOG, ROOT, SettingsError, chosen, of_yaml

#: What a file of one's own has to hold.
ARRAYS = ("train_x", "train_y", "test_x", "test_y")


def entry(name: str) -> dict[str, Any]:
    """What the catalog says of a data set; raises SettingsError."""
    return chosen(of_yaml((ROOT / "config" / CATALOG).read_text("utf-8"), CATALOG), name, CATALOG)


def load(entry: Mapping[str, Any], *, seed: int) -> Images:
    """The images of an entry; raises SettingsError, or datasets.Unreachable."""
    if entry.get("kind") == "npz":
        return _npz(ROOT / str(entry.get("path", "")))
    try:
        return datasets.load(str(entry.get("kind")), seed=seed)
    except KeyError as error:
        raise SettingsError(f"config/catalog.yaml: {error.args[0]} `npz` is a file.") from None


def _npz(path: Path) -> Images:
    if not path.is_file():
        raise SettingsError(f"config/catalog.yaml names {path}, which is not there.")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ARRAYS if name not in file]
        if missing:
            raise SettingsError(f"{path} lacks {', '.join(missing)}: numpy.savez writes them.")
        arrays = [file[name] for name in ARRAYS]
        classes = file["classes"] if "classes" in file else range(arrays[1].max() + 1)
        return Images(*arrays, tuple(map(str, classes)))
