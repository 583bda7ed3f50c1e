"""Images with labels: digits (comes with scikit-learn), MNIST and CIFAR-10 (fetched once).

    python -m lib.datasets mnist

fetches one ahead, into data/raw.
"""

from __future__ import annotations

import gzip
import os
import pickle
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Where data sets lie, the first that has one: what was pushed, then what a job fetched itself.
#: data/raw is read-only to jobs.
FOLDERS = ("data/raw", "data/processed")

#: Another place to fetch the files of all data sets from, such as a copy in one's own network.
MIRROR = "DATASETS_MIRROR"


class Unreachable(RuntimeError):
    """A data set is neither here nor to be had."""


@dataclass(frozen=True)
class Images:
    """Images as (number, height, width, channels) between 0 and 1, with the classes they show."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class File:
    """A file of a data set, and the MD5 sum that its makers give."""

    name: str
    md5: str


@dataclass(frozen=True)
class Source:
    """Where the files of a data set come from, and how they are read."""

    url: str
    files: tuple[File, ...]
    read: Callable[[list[Path]], Images]


def load(name: str, *, seed: int = 0) -> Images:
    """The data set called `name`; raises Unreachable, or KeyError where there is none.

    `seed` parts the digits into three quarters for training and one for tests; the others are
    parted by their makers.
    """
    if name == "digits":
        return _digits(seed)
    if name not in SOURCES:
        raise KeyError(f"There is no data set {name!r}; there are digits, {', '.join(SOURCES)}.")
    return SOURCES[name].read(fetch(name))


def fetch(name: str) -> list[Path]:
    """The files of a data set, fetched where they are not here; raises Unreachable."""
    source = SOURCES[name]
    for folder in FOLDERS:
        found = [Path(folder, name, file.name) for file in source.files]
        if all(path.is_file() for path in found):
            return found
    folder = next(folder for folder in FOLDERS if _may_write(Path(folder)))
    return [_fetch(source, file, Path(folder, name)) for file in source.files]


def _may_write(folder: Path) -> bool:
    return not folder.exists() or os.access(folder, os.W_OK)


def _fetch(source: Source, file: File, folder: Path) -> Path:
    import pooch
    import requests

    url = os.environ.get(MIRROR, source.url).rstrip("/") + "/" + file.name
    try:
        found = pooch.retrieve(
            url, known_hash=f"md5:{file.md5}", fname=file.name, path=folder, progressbar=True
        )
    except (requests.RequestException, ValueError) as error:
        raise Unreachable(
            f"{folder.name} is not here, and {url} can't be fetched ({_brief(error)}).\n"
            f"Put {file.name} into data/raw/{folder.name}/ where there is a network"
            f" (python -m {__spec__.name} {folder.name}) and push, or take the data set digits."
        ) from error
    return Path(found)


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:120]


def _digits(seed: int) -> Images:
    # Not above: the others do without scikit-learn, whose import takes seconds.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    pixels = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, digits.astype(np.int64), test_size=0.25, random_state=seed, stratify=digits
    )
    return Images(train_x, train_y, test_x, test_y, tuple("0123456789"))


def _mnist(files: list[Path]) -> Images:
    parts = [_idx(path) for path in files]
    images = [(part / np.float32(255)).astype(np.float32)[..., None] for part in parts[::2]]
    labels = [part.astype(np.int64) for part in parts[1::2]]
    return Images(images[0], labels[0], images[1], labels[1], tuple("0123456789"))


def _idx(path: Path) -> np.ndarray:
    """The IDX format: two zero bytes, type, number of dimensions, their sizes big-endian, bytes."""
    with gzip.open(path) as file:
        dimensions = file.read(4)[3]
        shape = np.frombuffer(file.read(4 * dimensions), dtype=">u4")
        return np.frombuffer(file.read(), dtype=np.uint8).reshape(shape)


def _cifar10(files: list[Path]) -> Images:
    """The Python version: pickles with `data` of 3,072 bytes an image, channel by channel."""
    with tarfile.open(files[0]) as archive:
        train = [_batch(archive, f"data_batch_{number}") for number in range(1, 6)]
        test_x, test_y = _batch(archive, "test_batch")
        names = _unpickled(archive, "batches.meta")["label_names"]
    train_x, train_y = (np.concatenate(part) for part in zip(*train))
    return Images(train_x, train_y, test_x, test_y, tuple(names))


def _batch(archive: tarfile.TarFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickled(archive, name)
    pixels = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
    images = (pixels.transpose(0, 2, 3, 1) / np.float32(255)).astype(np.float32)
    return images, np.asarray(batch["labels"], dtype=np.int64)


def _unpickled(archive: tarfile.TarFile, name: str) -> dict:
    member = archive.extractfile(f"cifar-10-batches-py/{name}")
    if member is None:
        raise ValueError(f"{name} in the archive of CIFAR-10 is no file")
    # The archive's sum was checked, so this is what its makers packed.
    return pickle.load(member, encoding="latin1")


SOURCES = {
    "mnist": Source(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        (
            File("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            File("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            File("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            File("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        _mnist,
    ),
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz",
        (File("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
        _cifar10,
    ),
}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sys.exit(f"python -m lib.datasets {'|'.join(SOURCES)}"):
        try:
            print(*fetch(wanted), sep="\n")
        except Unreachable as error:
            sys.exit(str(error))
        except KeyError:
            sys.exit(f"There is no data set {wanted!r}; there are {', '.join(SOURCES)}.")
