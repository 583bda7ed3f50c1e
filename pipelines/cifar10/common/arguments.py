"""What each step takes, and how it is read. The defaults stand in the MLproject files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Reader = Callable[[str], Any]


def whole(least: int) -> Reader:
    """A whole number that isn't below `least`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least} on, not {text!r}")
        return int(text)

    return read


def rate(text: str) -> float:
    """A number between 0 and 1, such as 0.001."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number <= 1.0:
        raise argparse.ArgumentTypeError(f"a number above 0 and up to 1, not {text!r}")
    return number


def one_of(*names: str) -> Reader:
    """One of these words."""

    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"one of {', '.join(names)}, not {text!r}")
        return text

    return read


def onnx_name(text: str) -> str:
    """The name of an ONNX file, without a folder."""
    if Path(text).name != text or len(text) < 6 or not text.endswith(".onnx"):
        raise argparse.ArgumentTypeError(f"a file name such as cifar10_0.onnx, not {text!r}")
    return text


STEPS: Mapping[str, Mapping[str, Reader]] = {
    "preprocess": {
        "data": one_of("cifar10", "digits"),
        "downstream": str,
        "cached_data_id": str,
        "limit": whole(0),
    },
    "train": {
        "upstream": str,
        "downstream": str,
        "tensorboard": str,
        "epochs": whole(1),
        "batch_size": whole(1),
        "num_workers": whole(0),
        "learning_rate": rate,
        "model_type": one_of("vgg11", "vgg16", "simple"),
        "model_filename": onnx_name,
        "seed": whole(0),
    },
    "building": {
        "model_directory": str,
        "model_filename": onnx_name,
        "downstream": str,
        "dockerfile_path": str,
        "entrypoint_path": str,
        "dockerimage": str,
    },
    "evaluate": {
        "upstream": str,
        "test_data_directory": str,
        "downstream": str,
    },
}

#: What the main run fills in itself: mostly what the step before has made.
FILLED_IN = (
    "train_upstream",
    "train_model_filename",
    "building_model_directory",
    "building_dockerimage",
    "evaluate_upstream",
    "evaluate_test_data_directory",
)


def of_step(step: str) -> argparse.Namespace:
    """The arguments of one step; leaves the program with one line where they can't be."""
    return _parsed(step, STEPS[step])


def of_main() -> argparse.Namespace:
    """The arguments of all steps, each with its step's name before it."""
    named = {f"{step}_{name}": read for step in STEPS for name, read in STEPS[step].items()}
    return _parsed("main", {name: named[name] for name in named if name not in FILLED_IN})


def _parsed(program: str, readers: Mapping[str, Reader]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(program, usage=argparse.SUPPRESS, allow_abbrev=False)
    for name, read in readers.items():
        parser.add_argument(f"--{name}", type=read, required=True)
    return parser.parse_args()
