"""Tasks and their settings: what inherits what, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib import catalog, settings, task
from lib.settings import Settings, SettingsError, pairs, settled, typed
from lib.task import Task, all_tasks, task_called
from lib.tasks.images import ImageTask
from tests.conftest import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The template's settings, in a folder of the test's own."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in (settings.CATALOG, settings.PARAMETERS, settings.OPTIMIZER):
        shutil.copy(ROOT / "config" / name, folder)
    return folder


def add(config: Path, text: str, *, file: str = settings.PARAMETERS) -> None:
    with open(config / file, "a", encoding="utf-8") as end:
        end.write("\n" + text)


# What a task inherits ----------------------------------------------------------------------------


def test_the_tasks_of_the_template() -> None:
    assert {name: each.experiment for name, each in all_tasks().items()} == {
        "Digits_A": "Digits",
        "Digits_B": "Digits",
        "Mnist_A": "Mnist",
        "Mnist_B": "Mnist",
    }
    assert task_called("Mnist_B").lineage() == ["Mnist_A", "Mnist_B"]


@pytest.mark.parametrize("family", ["Digits", "Mnist"])
def test_a_task_that_inherits_changes_only_its_hyperparameters(family: str) -> None:
    first, second = task_called(f"{family}_A"), task_called(f"{family}_B")
    assert issubclass(second, first) and first.run is second.run
    assert not [name for name in vars(second) if not name.startswith("_")]
    before, after = (each.with_changes({}).parameters for each in (first, second))
    written = settings.of_yaml((ROOT / "config/parameters.yaml").read_text(), "")[second.__name__]
    assert {name: after[name] for name in written} == written
    changed = {name for name in before if before[name] != after.get(name)}
    of_optimizer = {"solver", "learning_rate_init"} if "optimizer" in written else set()
    assert changed == set(written) | of_optimizer


def test_a_task_has_three_steps_to_write() -> None:
    with pytest.raises(TypeError, match="fetch_data.*preprocess.*run"):
        Task(Settings({}, {}, {}))  # type: ignore[abstract]


def test_the_optimizer_that_is_chosen_brings_its_values(config: Path) -> None:
    found = settled(["Digits_A"], {"optimizer": "sgd", "momentum": 0.5}, folder=config)
    assert found.optimizer == {
        "solver": "sgd",
        "learning_rate_init": 0.05,
        "momentum": 0.5,
        "alpha": 0.0001,
    }
    assert found.parameters.items() >= found.optimizer.items()


def test_what_a_parents_optimizer_took_is_no_parameter_of_another(config: Path) -> None:
    add(config, "Digits_C:\n  momentum: 0.5\nDigits_D:\n  optimizer: adam\n")
    lineage = ["Digits_A", "Digits_B", "Digits_C", "Digits_D"]
    assert settled(lineage[:3], folder=config).optimizer["momentum"] == 0.5
    assert "momentum" not in settled(lineage, folder=config).parameters


def test_a_section_may_change_nothing(config: Path) -> None:
    add(config, "Digits_C: {}\nDigits_D:\n")
    base = settled(["Digits_A"], folder=config).parameters
    assert settled(["Digits_A", "Digits_C", "Digits_D"], folder=config).parameters == base


def test_what_was_effective_can_be_read_again(config: Path) -> None:
    changes = {"learning_rate_init": 1e-5, "hidden": [3, 4]}
    found = settled(["Digits_A"], changes, folder=config)
    again = Settings.of_effective(found.effective())
    for part in ("parameters", "optimizer", "data"):
        assert getattr(again, part) == getattr(found, part)


# What is typed -----------------------------------------------------------------------------------


def test_values_are_read_as_in_a_file() -> None:
    words = ["epochs=3", "learning_rate_init=1e-4", "hidden=[8, 4]", "data=a=b 日本"]
    assert typed(words) == {
        "epochs": 3,
        "learning_rate_init": 1e-4,
        "hidden": [8, 4],
        "data": "a=b 日本",
    }
    assert pairs("--tag", ["who='日本 語'", "x=", "a=b=c"]) == {
        "who": "'日本 語'",
        "x": "",
        "a": "b=c",
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("epoch=3", "no parameter 'epoch'. Did you mean epochs"),
        ("momentum=0.5", "There are: .*learning_rate_init"),
        ("epochs=ten", "epochs is 'ten', but must be of the type int, such as 10"),
        ("epochs=1.5", "must be of the type int"),
        ("epochs=true", "must be of the type int"),
        ("hidden=48", "must be of the type list"),
        ("seed=", "seed is None"),
        ("seed=1\nepochs: 3", "can't be read"),
        ("optimizer=sg", "config/optimizer.yaml has no section 'sg'. Did you mean sgd"),
        ("optimizer=[a]", "config/optimizer.yaml has no section"),
        ("data=cifar", "config/catalog.yaml has no section 'cifar'. Did you mean cifar10"),
        ("data=${", "can't be read"),
        ("a.b=3", "no parameter 'a'"),
        ("epochs", "--set takes NAME=VALUE, not 'epochs'"),
        ("=3", "--set takes NAME=VALUE, not '=3'"),
    ],
)
def test_what_cannot_be_set(word: str, said: str, config: Path) -> None:
    with pytest.raises(SettingsError, match=said) as told:
        settled(["Digits_A"], typed([word]), folder=config)
    assert len(str(told.value).splitlines()) <= 2


def test_a_whole_number_will_do_for_another() -> None:
    found = task_called("Digits_A").with_changes({"learning_rate_init": 1})
    assert repr(found.parameters["learning_rate_init"]) == "1.0"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("Digits_C:\n  epoch: 3\n", "parameters.yaml, Digits_C: there is no parameter 'epoch'"),
        ("Digits_C:\n  epochs: many\n", "parameters.yaml, Digits_C: epochs is 'many'"),
        ("Digits_c:\n  epochs: 3\n", "no section for the task Digits_C"),
        ("Digits_C: 3\n", "there must be lines of `name: value`"),
        ("Digits_C: [\n", "parameters.yaml can't be read.*line"),
    ],
)
def test_a_section_that_is_wrong(section: str, said: str, config: Path) -> None:
    add(config, section)
    with pytest.raises(SettingsError, match=said):
        settled(["Digits_A", "Digits_C"], folder=config)


def test_an_unknown_task_is_told_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no task 'digits_b'. Did you mean Digits_B"):
        task_called("digits_b")
    with pytest.raises(SettingsError, match="There are: Digits_A, Digits_B, Mnist_A, Mnist_B"):
        task_called("")


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_size": -1}])
def test_numbers_that_train_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be 1 or more"):
        task_called("Digits_A").with_changes(changes)


def test_what_a_new_family_forgot_is_named() -> None:
    with pytest.raises(SettingsError, match="ImageTask: hidden is missing"):
        ImageTask(Settings({"data": "digits", "optimizer": "adam"}, {}, {}))


def test_two_tasks_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = task_called("Digits_A")
    monkeypatch.setattr(task, "_below", lambda _: iter([first, type("Digits_A", (first,), {})]))
    with pytest.raises(SettingsError, match="Two tasks are called Digits_A"):
        all_tasks()


# Data --------------------------------------------------------------------------------------------


def test_images_of_ones_own(tmp_path: Path) -> None:
    arrays = {"train_x": np.zeros((4, 2, 2, 1)), "train_y": np.array([0, 1, 2, 0])}
    arrays |= {"test_x": np.ones((2, 2, 2, 1)), "test_y": np.array([1, 0])}
    np.savez(tmp_path / "mine.npz", **arrays)
    images = catalog.load({"kind": "npz", "path": tmp_path / "mine.npz"}, seed=0)
    assert images.classes == ("0", "1", "2") and images.test_x.sum() == 8
    np.savez(tmp_path / "mine.npz", classes=["猫", "犬", "魚"], **arrays)
    images = catalog.load({"kind": "npz", "path": tmp_path / "mine.npz"}, seed=0)
    assert images.classes == ("猫", "犬", "魚")
    del arrays["test_y"]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(SettingsError, match="lacks test_y"):
        catalog.load({"kind": "npz", "path": tmp_path / "mine.npz"}, seed=0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kind": "npz", "path": "data/raw/none.npz"}, "none.npz, which is not there"),
        ({"kind": "npz"}, "which is not there"),
        ({"kind": "imagenet"}, "no data set 'imagenet'"),
        ({}, "no data set 'None'"),
    ],
)
def test_data_that_is_not_there(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        catalog.load(entry, seed=0)
