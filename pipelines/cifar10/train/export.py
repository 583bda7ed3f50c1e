"""The trained network as an ONNX file, and the proof that it guesses the same."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from common.step import StepError
from torch import nn

from train.networks import Served

#: The greatest difference between two probabilities that rounding may make.
TOLERANCE = 1e-4


def export(network: nn.Module, images: np.ndarray, file: Path) -> float:
    """Write the network, and have onnxruntime guess `images` too.

    The greatest difference of two probabilities comes back; raises StepError where it is too great.
    """
    served = Served(network.cpu()).eval()
    example = torch.from_numpy(images)
    _write(served, example[:2], file)
    return max(_difference(served, example, file), _difference(served, example[:1], file))


def _write(served: nn.Module, example: torch.Tensor, file: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch's own, about how torch.export calls torch.
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            served,
            (example,),
            str(file),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("number")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@torch.no_grad()
def _difference(served: nn.Module, images: torch.Tensor, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    [guessed] = session.run(None, {"images": images.numpy()})
    difference = float(np.abs(guessed - served(images).numpy()).max())
    if not difference <= TOLERANCE:
        raise StepError(f"{file.name} guesses otherwise than the network: by {difference:.2g}.")
    return difference
