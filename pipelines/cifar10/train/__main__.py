"""Train a network on prepared images, and write it down as checkpoints and as ONNX."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mlflow
from common import arguments, places, prepared
from common.step import StepError, running

from lib.extras import need

#: How many images the exported network is tried with.
TRIED = 64


def main() -> None:
    args = arguments.of_step("train")
    need("torch", "torch", "tensorboard", "onnx", "onnxscript", "onnxruntime")
    places.enter_project()
    with running("train") as run:
        source = places.fetched(args.upstream)
        note = prepared.check(source)
        mlflow.set_tag("data", note.data)
        part = prepared.read(source, "train")
        if len(part.images) < 2:
            raise StepError("Two images are the least that can be trained with.")
        _train(args, run, note, part)


def _train(args: argparse.Namespace, run: str, note: prepared.Note, part: prepared.Part) -> None:
    import torch

    from train import export, networks

    torch.manual_seed(args.seed)
    network = networks.make(args.model_type, len(note.classes))
    logs = places.new_folder(args.tensorboard, run)
    with places.work_folder(args.downstream, run) as folder:
        best = _fit(network, args, part, folder / "checkpoints", logs)
        network.load_state_dict(torch.load(best, map_location="cpu", weights_only=True))
        model = folder / "model"
        model.mkdir()
        file = model / args.model_filename
        difference = export.export(network, part.images[:TRIED], file)
        _describe(model / "model.json", file, note, args.model_type)
        mlflow.log_metric("onnx_difference", difference)
        mlflow.log_artifacts(str(folder))
        mlflow.log_artifacts(str(logs), "tensorboard")
    print(f"train: {file.name} guesses like the network (difference {difference:.1g})")


def _fit(
    network, args: argparse.Namespace, part: prepared.Part, checkpoints: Path, logs: Path
) -> Path:
    """Train, telling MLflow and TensorBoard of each epoch; the file with the best weights."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    from train import fitting

    checkpoints.mkdir()
    names = ("epochs", "batch_size", "num_workers", "learning_rate", "seed")
    settings = fitting.Settings(**{name: getattr(args, name) for name in names})
    epochs: list[fitting.Epoch] = []
    with SummaryWriter(str(logs)) as board:
        for epoch in fitting.fit(network, part, settings):
            figures = {name: value for name, value in vars(epoch).items() if name != "number"}
            mlflow.log_metrics(figures, step=epoch.number)
            for name, value in figures.items():
                board.add_scalar(name, value, epoch.number)
            told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            print(f"epoch {epoch.number} of {args.epochs}: {told}", flush=True)
            torch.save(network.state_dict(), checkpoints / "last.pt")
            if not epochs or epoch.valid_loss < min(each.valid_loss for each in epochs):
                torch.save(network.state_dict(), checkpoints / "best.pt")
            epochs.append(epoch)
    return checkpoints / "best.pt"


def _describe(note: Path, file: Path, data: prepared.Note, kind: str) -> None:
    """What the server has to know of the model."""
    known = {
        "file": file.name,
        "sha256": prepared.sha256(file),
        "classes": data.classes,
        "model_type": kind,
        "data": data.data,
    }
    note.write_text(json.dumps(known, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
