"""The data set and the features that experiments start from, each in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from dataset import parts
from dataset.dataset01 import make as dataset01
from feature.feature01 import make as feature01
from lib import datasets
from lib.datasets import Images


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that we stand in; paths of the settings count from here."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def settings(of: object, **changed: object) -> DictConfig:
    return OmegaConf.merge(OmegaConf.load(of.CONFIG / "config.yaml"), changed)  # type: ignore


def test_a_data_set_is_parted_and_read_again() -> None:
    made = dataset01.make(settings(dataset01, seed=3))
    read = parts.load(Path("data/processed/dataset01"))
    assert [len(part.y) for part in read.parts] == [1077, 270, 450]
    for one, other in zip(made.parts, read.parts):
        assert np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)
    assert read.classes == tuple("0123456789")
    assert read.made == made.made == parts.made(Path("data/processed/dataset01"))
    assert (read.made["which"], read.made["seed"]) == ("digits", 3)
    rows = {image.tobytes() for image in read.train.x}
    held = [*read.valid.x, *read.test.x]
    assert len(rows & {image.tobytes() for image in held}) < 5  # a few digits are drawn twice alike
    assert set(np.bincount(read.valid.y)) <= set(range(25, 30))


def test_images_of_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    x = chance.random((40, 32, 32, 3), dtype=np.float32)
    x[..., 2] = 0.5  # a channel that never changes
    y = np.array([0, 1] * 20)
    images = Images(x[:30], y[:30], x[30:], y[30:], ("猫", "dog's"))
    monkeypatch.setattr(datasets, "load", lambda name, seed: images)
    dataset01.make(settings(dataset01))
    features = feature01.make(settings(feature01))
    read = parts.load(Path("data/processed/feature01"))
    assert read.train.x.shape == (24, 32, 32, 3) and read.train.x.dtype == np.float32
    assert read.train.x[..., :2].mean() == pytest.approx(0, abs=1e-4)
    assert read.train.x[..., 0].std() == pytest.approx(1, abs=1e-4)
    assert not read.test.x[..., 2].any() and features.classes == ("猫", "dog's")


def test_features_as_they_are() -> None:
    feature01.make(settings(feature01, standardize=False))
    made = [parts.load(Path(f"data/processed/{name}")) for name in ("dataset01", "feature01")]
    assert np.array_equal(made[0].test.x, made[1].test.x)


def test_what_is_missing_is_made_and_what_is_there_is_taken() -> None:
    folder = Path("data/processed/feature01")
    made = feature01.ready(folder)
    assert made.made["from"]["which"] == "digits" and made.made["standardize"] is True
    feature01.make(settings(feature01, standardize=False))
    assert feature01.ready(folder).made["standardize"] is False


def test_features_of_an_older_data_set_are_refused() -> None:
    folder = Path("data/processed/feature01")
    feature01.ready(folder)
    dataset01.make(settings(dataset01, seed=1))
    with pytest.raises(feature01.Outdated, match="make.py dataset=data/processed/dataset01"):
        feature01.ready(folder)
    feature01.make(settings(feature01))
    assert feature01.ready(folder).made["from"]["seed"] == 1
    # Features alone, as on a machine that the data set was not brought to, are taken.
    (Path("data/processed/dataset01") / parts.FILE).unlink()
    assert feature01.ready(folder).made["from"]["seed"] == 1


def test_nobody_elses_folder_is_filled() -> None:
    with pytest.raises(parts.Missing, match="feature01/make.py output=data/mine"):
        feature01.ready(Path("data/mine"))
    with pytest.raises(parts.Missing, match="dataset01/make.py output=data/mine"):
        feature01.make(settings(feature01, dataset="data/mine"))
    assert not Path("data").exists()


def test_a_file_is_replaced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset01.make(settings(dataset01))
    before = parts.load(Path("data/processed/dataset01"))

    def broken(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="no space"):
        dataset01.make(settings(dataset01, seed=9))
    assert parts.load(Path("data/processed/dataset01")).made == before.made
    assert [path.name for path in Path("data/processed/dataset01").iterdir()] == [parts.FILE]
