"""CIFAR-10, or scikit-learn's digits made to look like it where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from common.prepared import SIZE, Part
from common.step import StepError

from lib import datasets

#: What runs on the digits say in their tag `data`.
STAND_IN = "digits-as-cifar10"


def load(name: str) -> tuple[str, datasets.Images]:
    """(what they are, images of 32 x 32 pixels in three colours); raises StepError."""
    if name == "cifar10":
        try:
            return name, datasets.load(name)
        except datasets.Unreachable as error:
            raise StepError(
                f"{error}\nTo try the pipeline without it: -P preprocess_data=digits"
            ) from None
    print(f"These are scikit-learn's digits, not CIFAR-10: tag data={STAND_IN}.", flush=True)
    return STAND_IN, _digits()


def _digits() -> datasets.Images:
    digits = datasets.load("digits")
    return replace(digits, train_x=_enlarged(digits.train_x), test_x=_enlarged(digits.test_x))


def _enlarged(images: np.ndarray) -> np.ndarray:
    """(number, 8, 8, 1) with each pixel four times as high and wide, in grey of three colours."""
    factor = SIZE // images.shape[1]
    return images.repeat(factor, axis=1).repeat(factor, axis=2).repeat(3, axis=3)


def parts(images: datasets.Images, limit: int) -> dict[str, Part]:
    """At most `limit` images for training and for tests, in bytes; all with 0."""
    end = limit or None
    return {
        "train": Part(_bytes(images.train_x[:end]), images.train_y[:end]),
        "test": Part(_bytes(images.test_x[:end]), images.test_y[:end]),
    }


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.rint(images * 255).astype(np.uint8)
