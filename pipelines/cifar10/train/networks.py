"""The networks: VGG with batch normalisation for small images, and a simple one."""

from __future__ import annotations

import torch
from torch import nn

#: Channels of the convolutions; a 0 halves height and width. (Simonyan and Zisserman,
#: https://arxiv.org/abs/1409.1556, table 1, columns A and D.) Halved five times, 32 pixels are one.
LAYOUTS = {
    "vgg11": (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    "vgg16": (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0),
    "simple": (16, 0, 32, 0, 64, 0),
}


def make(kind: str, classes: int) -> nn.Module:
    """A network from (number, 3, 32, 32) to one value for each class, not yet a probability."""
    layers: list[nn.Module] = []
    channels = 3
    for width in LAYOUTS[kind]:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers, *end)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """Bytes (number, 32, 32, 3) as the networks take them: colours first, between 0 and 1."""
    return images.permute(0, 3, 1, 2).float() / 255.0


class Served(nn.Module):
    """A trained network as it is served: from images in bytes to probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.network(as_input(images)), dim=1)
