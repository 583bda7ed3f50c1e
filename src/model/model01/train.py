"""Train a small network with Lightning on the features of feature01.

python src/model/model01/train.py epochs=10
python src/model/model01/train.py -m 'learning_rate=interval(0.001,0.002)'
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from lib.extras import need
from model import runs

if TYPE_CHECKING:
    from dataset.parts import Parts

CONFIG = Path(__file__).resolve().parents[3] / "config/model/model01"


@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config: DictConfig) -> float:
    """Returns the best accuracy in validation, which a sweep looks for the best of."""
    import mlflow

    mlflow.set_experiment("model01")
    with runs.recorded(config) as run:
        features = _features(Path(config.features))
        mlflow.log_dict(features.made, "features.json")
        return train(config, features, name=run.info.run_id)


def _features(folder: Path) -> Parts:
    from dataset.parts import Missing
    from feature.feature01.make import Outdated, ready
    from lib.datasets import Unreachable

    try:
        return ready(folder)
    except (Missing, Outdated, Unreachable) as error:
        sys.exit(str(error))


def train(config: DictConfig, features: Parts, *, name: str) -> float:
    """Keep the network of the best epoch; `name` is its folder below logs/lightning."""
    import lightning
    import mlflow
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import TensorBoardLogger

    from model.model01.network import Curves, Learner, batches, log_model, network, quiet

    quiet()
    lightning.seed_everything(config.seed, verbose=False)
    channels = features.train.x.shape[-1]
    learner = Learner(network(channels, len(features.classes), config.width), config.learning_rate)
    best = ModelCheckpoint(monitor="valid_accuracy", mode="max")
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        logger=TensorBoardLogger("logs/lightning", name="model01", version=name),
        callbacks=[best, Curves()],
        devices=1,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        learner,
        batches(features.train, config.batch_size, shuffle=True),
        batches(features.valid, config.batch_size),
    )
    [tested] = trainer.test(
        learner, batches(features.test, config.batch_size), best.best_model_path, verbose=False
    )
    accuracy = float(best.best_model_score)
    mlflow.log_metrics({**tested, "best_valid_accuracy": accuracy})
    log_model(learner.network, features.test.x[:2])
    return accuracy


if __name__ == "__main__":
    need("torch", "torch", "lightning")
    with runs.sweep("model01"):
        main()
