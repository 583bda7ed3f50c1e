"""Train a small network on handwritten digits, with scikit-learn alone.

python src/model/model02/train.py epochs=5
python src/model/model02/train.py -m 'learning_rate=interval(0.001,0.1)'
"""

from pathlib import Path

import hydra
import mlflow
from omegaconf import DictConfig, OmegaConf
from sklearn.neural_network import MLPClassifier

from lib import digits

CONFIG = Path(__file__).resolve().parents[3] / "config/model/model02"


@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config: DictConfig) -> float:
    """Returns the accuracy on the test images, which a sweep looks for the best of."""
    network = MLPClassifier(
        hidden_layer_sizes=(config.hidden,),
        learning_rate_init=config.learning_rate,
        random_state=config.seed,
    )
    split = digits.load(config.seed)
    accuracy = 0.0
    with mlflow.start_run():
        mlflow.log_params(OmegaConf.to_container(config, resolve=True))
        settings = {"epochs": config.epochs, "batch_size": config.batch_size, "seed": config.seed}
        for epoch in digits.train(network, split, **settings):
            accuracy = epoch.accuracy
            values = {"loss": epoch.loss, "accuracy": accuracy}
            mlflow.log_metrics(values, step=epoch.number)
    return accuracy


if __name__ == "__main__":
    main()
