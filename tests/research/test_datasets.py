"""Data sets, fetched from a server of the tests' own in the formats of their makers."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lib import datasets
from lib.datasets import File, Unreachable

CHANCE = np.random.default_rng(0)
LABELS = ["airplane", "automobile"]


def idx(array: np.ndarray) -> bytes:
    """As http://yann.lecun.com/exdb/mnist describes it."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def bytes_of(*shape: int) -> np.ndarray:
    return CHANCE.integers(0, 256, shape, dtype=np.uint8)


def batches(each: int) -> tuple[bytes, dict[str, dict]]:
    """An archive like CIFAR-10's, and what is in it."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    parts = {name: {"data": bytes_of(each, 3072), "labels": [0, 1] * (each // 2)} for name in names}
    content = {**parts, "batches.meta": {"label_names": LABELS}}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, value in content.items():
            data = pickle.dumps(value, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue(), content


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served over HTTP as the mirror of all data sets; we stand in a project."""
    folder = tmp_path / "shop"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(datasets.MIRROR, f"http://127.0.0.1:{server.server_port}/")
    project = tmp_path / "project"
    (project / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(project)
    yield folder
    server.shutdown()
    server.server_close()


def sell(shop: Path, monkeypatch: pytest.MonkeyPatch, name: str, *contents: bytes) -> None:
    """Have the files of a data set, with these contents, in the shop."""
    source = datasets.SOURCES[name]
    files = []
    for file, content in zip(source.files, contents, strict=True):
        (shop / file.name).write_bytes(content)
        files.append(File(file.name, hashlib.md5(content).hexdigest()))
    changed = datasets.Source(source.url, tuple(files), source.read)
    monkeypatch.setitem(datasets.SOURCES, name, changed)


def test_digits_come_with_scikit_learn() -> None:
    images = datasets.load("digits", seed=3)
    assert images.train_x.shape[1:] == (8, 8, 1) and images.train_x.max() == 1.0
    assert len(images.train_x) + len(images.test_x) == 1797
    assert len(images.test_x) == len(images.test_y) == 450
    assert not np.array_equal(images.test_y, datasets.load("digits", seed=4).test_y)


def test_mnist(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = bytes_of(5, 28, 28), bytes_of(2, 28, 28)
    labels = np.array([3, 1, 4, 1, 5]), np.array([9, 2])
    sell(shop, monkeypatch, "mnist", idx(train), idx(labels[0]), idx(test), idx(labels[1]))
    images = datasets.load("mnist")
    assert images.train_x.shape == (5, 28, 28, 1) and images.train_x.dtype == np.float32
    assert np.array_equal(np.rint(images.train_x[..., 0] * 255), train)
    assert np.array_equal(np.rint(images.test_x[..., 0] * 255), test)
    assert images.train_y.tolist() == [3, 1, 4, 1, 5] and images.test_y.tolist() == [9, 2]


def test_cifar10(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, content = batches(4)
    sell(shop, monkeypatch, "cifar10", archive)
    images = datasets.load("cifar10")
    assert images.train_x.shape == (20, 32, 32, 3) and images.test_x.shape == (4, 32, 32, 3)
    assert images.classes == ("airplane", "automobile")
    # Red comes first in a row of the archive, line by line; the last is the blue one's end.
    row = content["data_batch_2"]["data"][1]
    assert np.rint(images.train_x[5, 0, 1, 0] * 255) == row[1]
    assert np.rint(images.train_x[5, 31, 31, 2] * 255) == row[3071]


def test_what_was_fetched_is_not_fetched_again(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(shop, monkeypatch, "cifar10", batches(2)[0])
    assert datasets.fetch("cifar10") == [Path("data/raw/cifar10/cifar-10-python.tar.gz").resolve()]
    monkeypatch.setenv(datasets.MIRROR, "http://127.0.0.1:9/")
    assert len(datasets.load("cifar10").train_x) == 10


def test_a_job_fetches_what_was_not_pushed_beside_the_raw_data(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(shop, monkeypatch, "cifar10", batches(2)[0])
    monkeypatch.setattr(datasets, "_may_write", lambda folder: folder != Path("data/raw"))
    datasets.load("cifar10")
    assert Path("data/processed/cifar10/cifar-10-python.tar.gz").is_file()
    assert not Path("data/raw/cifar10").exists()


def test_a_file_that_was_changed_on_its_way_is_refused(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(shop, monkeypatch, "cifar10", batches(2)[0])
    (shop / "cifar-10-python.tar.gz").write_bytes(batches(2)[0])
    with pytest.raises(Unreachable, match="hash"):
        datasets.load("cifar10")
    assert not list(Path("data/raw").rglob("*.gz"))


def test_without_a_network_the_way_on_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(datasets.MIRROR, "http://127.0.0.1:9/")
    with pytest.raises(Unreachable) as told:
        datasets.load("mnist")
    assert "mnist is not here" in str(told.value)
    assert "python -m lib.datasets mnist" in str(told.value) and "digits" in str(told.value)


def test_an_unknown_name(shop: Path) -> None:
    with pytest.raises(KeyError, match="digits, mnist, cifar10"):
        datasets.load("imagenet")


def test_as_a_command(shop: Path) -> None:
    """Without a network it says so in words, with a non-zero exit."""
    argv = [sys.executable, "-m", "lib.datasets", "mnist"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1 and "404" in done.stderr and "Traceback" not in done.stderr
    unknown = subprocess.run([*argv[:-1], "cats"], capture_output=True, text=True)
    assert unknown.returncode == 1 and "no data set 'cats'" in unknown.stderr
