"""Make what a network learns from out of the images of dataset01.

python src/feature/feature01/make.py standardize=false
"""

import sys
from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig, OmegaConf

from dataset import parts
from dataset.dataset01.make import ready as dataset
from dataset.parts import Missing, Part, Parts
from lib.datasets import Unreachable

CONFIG = Path(__file__).resolve().parents[3] / "config/feature/feature01"
CALL = "python src/feature/feature01/make.py"


class Outdated(RuntimeError):
    """Features whose data set was made anew since."""


@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config: DictConfig) -> None:
    """The data set is made first, with its own settings, where it is missing."""
    try:
        features = make(config)
    except (Missing, Unreachable) as error:
        sys.exit(str(error))
    height, width, channels = features.train.x.shape[1:]
    print(f"{config.output}: {height} x {width} values of {channels} channel(s) for each image")


def make(config: DictConfig) -> Parts:
    """Write the file that `config` describes; raises Missing or Unreachable."""
    images = dataset(Path(config.dataset))
    shift, scale = _scale(images.train.x) if config.standardize else (0.0, 1.0)
    features = Parts(
        *(Part((part.x - shift) / scale, part.y) for part in images.parts),
        classes=images.classes,
        made={**OmegaConf.to_container(config, resolve=True), "from": images.made},
    )
    features.save(Path(config.output))
    return features


def _scale(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel; a channel that never changes is left as it is."""
    deviation = images.std(axis=(0, 1, 2))
    return images.mean(axis=(0, 1, 2)), np.where(deviation > 0, deviation, np.float32(1))


def ready(folder: Path) -> Parts:
    """The features in `folder`, made now where they are missing and these settings make them.

    Raises Missing, Outdated or Unreachable.
    """
    config = OmegaConf.load(CONFIG / "config.yaml")
    found = parts.made(folder)
    if found is None:
        if Path(config.output) != folder:
            raise Missing(f"There are no features in {folder}. Make them: {CALL} output={folder}")
        return make(config)
    if parts.made(Path(found["dataset"])) not in (None, found["from"]):
        raise Outdated(
            f"{found['dataset']} was made anew after the features in {folder}.\n"
            f"Make those again: {CALL} dataset={found['dataset']} output={folder}"
        )
    return parts.load(folder)


if __name__ == "__main__":
    main()
