"""Training, one epoch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from common.prepared import Part
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from train.networks import as_input

#: The share of the training images that only tell how good an epoch was.
HELD_BACK = 0.1


@dataclass(frozen=True)
class Settings:
    epochs: int
    batch_size: int
    num_workers: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Epoch:
    """Mean cross entropies, and the accuracy on the images that were held back."""

    number: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(network: nn.Module, part: Part, settings: Settings) -> Iterator[Epoch]:
    """Train `network` in place; each epoch's figures come when it is done."""
    network.to(device())
    training, validation = _loaders(part, settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    for number in range(1, settings.epochs + 1):
        train_loss = _train(network, training, optimizer)
        yield Epoch(number, train_loss, *_validate(network, validation))


def _loaders(part: Part, settings: Settings) -> tuple[DataLoader, DataLoader]:
    """Batches for training, in an order of chance, and those that were held back."""
    chance = torch.Generator().manual_seed(settings.seed)
    images = TensorDataset(torch.from_numpy(part.images), torch.from_numpy(part.labels))
    order = torch.randperm(len(images), generator=chance).tolist()
    held_back = max(1, int(len(images) * HELD_BACK))
    workers = {"num_workers": settings.num_workers, "persistent_workers": settings.num_workers > 0}
    return (
        DataLoader(
            Subset(images, order[held_back:]),
            settings.batch_size,
            shuffle=True,
            generator=chance,
            **workers,
        ),
        DataLoader(Subset(images, order[:held_back]), settings.batch_size),
    )


def _train(network: nn.Module, batches: DataLoader, optimizer: torch.optim.Optimizer) -> float:
    network.train()
    total = 0.0
    for images, labels in batches:
        images, labels = images.to(device()), labels.to(device())
        loss = nn.functional.cross_entropy(network(as_input(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(labels)
    return total / len(batches.dataset)


@torch.no_grad()
def _validate(network: nn.Module, batches: DataLoader) -> tuple[float, float]:
    """(mean cross entropy, accuracy)"""
    network.eval()
    total, right = 0.0, 0
    for images, labels in batches:
        images, labels = images.to(device()), labels.to(device())
        guessed = network(as_input(images))
        total += float(nn.functional.cross_entropy(guessed, labels, reduction="sum"))
        right += int((guessed.argmax(1) == labels).sum())
    return total / len(batches.dataset), right / len(batches.dataset)
