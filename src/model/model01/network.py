"""A small convolutional network, and how it learns."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning
import mlflow
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dataset.parts import Part

log = logging.getLogger(__name__)

Batch = tuple[torch.Tensor, torch.Tensor]


def network(channels: int, classes: int, width: int) -> nn.Module:
    """Takes images of any size, as (number, height, width, channels)."""
    return nn.Sequential(
        ChannelsFirst(),
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(2 * width * 16, classes),
    )


class ChannelsFirst(nn.Module):
    """From the order of files to the order of torch."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2)


class Learner(lightning.LightningModule):
    """Cross entropy by Adam; loss and accuracy of each part are logged once for each epoch."""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate

    def training_step(self, batch: Batch, number: int) -> torch.Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: Batch, number: int) -> None:
        self._step("valid", batch)

    def test_step(self, batch: Batch, number: int) -> None:
        self._step("test", batch)

    def _step(self, name: str, batch: Batch) -> torch.Tensor:
        images, classes = batch
        guessed = self.network(images)
        loss = functional.cross_entropy(guessed, classes)
        accuracy = (guessed.argmax(1) == classes).float().mean()
        values = {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(classes))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class Curves(lightning.Callback):
    """Each epoch's losses and accuracies, told to MLflow and the log."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = trainer.current_epoch + 1
        mlflow.log_metrics(values, step=epoch)
        log.info("epoch %d: %s", epoch, ", ".join(f"{k} {v:.4f}" for k, v in values.items()))


def batches(part: Part, size: int, *, shuffle: bool = False) -> torch.utils.data.DataLoader:
    """Images and classes, `size` at a time."""
    data = torch.utils.data.TensorDataset(torch.from_numpy(part.x), torch.from_numpy(part.y))
    return torch.utils.data.DataLoader(data, batch_size=size, shuffle=shuffle)


def log_model(network: nn.Module, example: np.ndarray) -> None:
    """As a graph (torch.export), which can be loaded without this code; `example` is two images."""
    version = torch.__version__.partition("+")[0]
    mlflow.pytorch.log_model(
        network.cpu().eval(),
        name="model",
        input_example=example,
        pip_requirements=[f"torch=={version}"],
    )


def quiet() -> None:
    """No advice on loaders, loggers and pip: data in memory needs no workers."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    for told in ("does not have many workers", "isinstance.treespec, LeafSpec"):
        warnings.filterwarnings("ignore", message=f".*{told}")
