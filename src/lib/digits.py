"""Handwritten digits: the data, and a small network trained on them one epoch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


@dataclass(frozen=True)
class Split:
    """Images as rows of 64 grey values between 0 and 1, with the digits they show."""

    train_x: np.ndarray
    test_x: np.ndarray
    train_y: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """How good the network is after one pass over the training images."""

    number: int
    loss: float
    accuracy: float


def load(seed: int = 0) -> Split:
    """1,797 images that scikit-learn brings along; a quarter of them is for testing."""
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(
        images / 16.0, digits, test_size=0.25, random_state=seed, stratify=digits
    )
    return Split(*parts)


def train(
    network: MLPClassifier, split: Split, *, epochs: int, batch_size: int, seed: int = 0
) -> Iterator[Epoch]:
    """Train `network` in place; after each epoch comes its cross entropy and accuracy in tests."""
    chance = np.random.default_rng(seed)
    classes = np.unique(split.train_y)
    for number in range(1, epochs + 1):
        order = chance.permutation(len(split.train_x))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            network.partial_fit(split.train_x[rows], split.train_y[rows], classes=classes)
        guessed = network.predict_proba(split.test_x)
        loss = float(log_loss(split.test_y, guessed, labels=classes))
        yield Epoch(number, loss, float(network.score(split.test_x, split.test_y)))
