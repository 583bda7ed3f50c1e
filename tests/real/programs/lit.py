"""Lightning's own MLflow logger, with checkpoints as artifacts; with a path, loads one of them."""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
POINTS = torch.linspace(-1, 1, 8).reshape(-1, 1)


class Line(lightning.LightningModule):
    def __init__(self, rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.rate)


def predictions(model):
    with torch.no_grad():
        return model(POINTS).flatten().tolist()


def train():
    lightning.seed_everything(1, verbose=False)
    torch.set_num_threads(1)
    logger = MLFlowLogger(
        experiment_name="lines",
        run_name="lit",
        tracking_uri=os.environ["MLFLOW_TRACKING_URI"],
        log_model=True,
        tags={"kind": "line"},
    )
    trainer = lightning.Trainer(
        max_epochs=3,
        logger=logger,
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint("checkpoints", monitor="train_loss", filename="{epoch}")],
    )
    model = Line()
    trainer.fit(model, DataLoader(TensorDataset(POINTS, 3 * POINTS), batch_size=4))
    best = Line.load_from_checkpoint(trainer.checkpoint_callback.best_model_path)
    return {
        "run": logger.run_id,
        "steps": trainer.global_step,
        "checkpoint": Path(trainer.checkpoint_callback.best_model_path).name,
        "predictions": predictions(best),
    }


if sys.argv[1:]:
    print(json.dumps({"predictions": predictions(Line.load_from_checkpoint(sys.argv[1]))}))
else:
    print(json.dumps(train()))
