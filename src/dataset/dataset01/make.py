"""Write a data set into one file, parted for training, validation and testing.

python src/dataset/dataset01/make.py which=mnist
"""

import sys
from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig, OmegaConf

from dataset import parts
from dataset.parts import Missing, Part, Parts
from lib import datasets

CONFIG = Path(__file__).resolve().parents[3] / "config/dataset/dataset01"
CALL = "python src/dataset/dataset01/make.py"


@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config: DictConfig) -> None:
    """Ends with a message where there is no such data set, or it can't be had."""
    try:
        images = make(config)
    except (datasets.Unreachable, KeyError) as error:
        sys.exit(str(error.args[0]))
    counts = [len(part.y) for part in images.parts]
    print("{}: {} images to learn from, {} to choose by, {} to test".format(config.output, *counts))


def make(config: DictConfig) -> Parts:
    """Write the file that `config` describes; raises Unreachable or KeyError."""
    # Not above: who reads the file that is there does without scikit-learn.
    from sklearn.model_selection import train_test_split

    images = datasets.load(config.which, seed=config.seed)
    rows = np.arange(len(images.train_y))
    train, valid = train_test_split(
        rows, test_size=config.validation, random_state=config.seed, stratify=images.train_y
    )
    made = Parts(
        train=Part(images.train_x[train], images.train_y[train]),
        valid=Part(images.train_x[valid], images.train_y[valid]),
        test=Part(images.test_x, images.test_y),
        classes=images.classes,
        made=OmegaConf.to_container(config, resolve=True),
    )
    made.save(Path(config.output))
    return made


def ready(folder: Path) -> Parts:
    """The images in `folder`, made now where they are missing and these settings make them.

    Raises Missing or Unreachable.
    """
    config = OmegaConf.load(CONFIG / "config.yaml")
    if parts.made(folder) is not None:
        return parts.load(folder)
    if Path(config.output) != folder:
        raise Missing(f"There is no data set in {folder}. Make it: {CALL} output={folder}")
    return make(config)


if __name__ == "__main__":
    main()
