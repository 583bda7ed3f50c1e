"""Tasks that tell what images show, by a network of scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lib.settings import Settings, SettingsError
from lib.task import Task

if TYPE_CHECKING:
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    from lib.datasets import Images
    from lib.digits import Epoch

#: Where the model, and the names of its classes, lie in a run.
MODEL, CLASSES = "model", "classes.json"

#: What the first section of a family has to say.
PARAMETERS = ("data", "optimizer", "hidden", "epochs", "batch_size", "seed")

#: What a network keeps beside its weights; MLflow loads no types of others' that nobody trusts.
TRUSTED = [
    f"sklearn.neural_network._stochastic_optimizers.{name}"
    for name in ("AdamOptimizer", "SGDOptimizer")
]


class ImageTask(Task):
    """A network that learns, one epoch at a time, which class an image shows."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        missing = [name for name in PARAMETERS if name not in self.parameters]
        if missing:
            raise SettingsError(f"config/parameters.yaml, {self.name}: {missing[0]} is missing.")
        for name in ("epochs", "batch_size"):
            if self.parameters[name] < 1:
                raise SettingsError(f"{name} is {self.parameters[name]}, but must be 1 or more.")

    def fetch_data(self) -> Images:
        from lib import catalog

        return catalog.load(self.settings.data, seed=self.parameters["seed"])

    def preprocess(self, data: Images) -> Images:
        return replace(data, train_x=self.rows(data.train_x), test_x=self.rows(data.test_x))

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Images as the network takes them, in inference too: a row of pixels for each."""
        return images.reshape(len(images), -1)

    def run(self, data: Images) -> None:
        network = self.network()
        epochs = list(self.train(network, data))
        self.log_model(network, data)
        self.log_plots(network, data, epochs)

    def network(self) -> MLPClassifier:
        """What learns, before it does."""
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(
            hidden_layer_sizes=self.parameters["hidden"],
            random_state=self.parameters["seed"],
            **self.settings.optimizer,
        )

    def train(self, network: MLPClassifier, data: Images) -> Iterator[Epoch]:
        """Train `network` in place, and log how good each epoch made it."""
        import mlflow

        from lib import digits

        split = digits.Split(data.train_x, data.test_x, data.train_y, data.test_y)
        wanted = {name: self.parameters[name] for name in ("epochs", "batch_size", "seed")}
        for epoch in digits.train(network, split, **wanted):
            values = {"loss": epoch.loss, "accuracy": epoch.accuracy}
            mlflow.log_metrics(values, step=epoch.number)
            told = f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.3f}"
            print(told, flush=True)
            yield epoch

    def log_model(self, network: MLPClassifier, data: Images) -> None:
        """With the names of the classes, which inference tells."""
        import mlflow.sklearn
        import sklearn
        from mlflow.models import infer_signature

        some = data.test_x[:5]
        mlflow.sklearn.log_model(
            network,
            name=MODEL,
            signature=infer_signature(some, network.predict(some)),
            skops_trusted_types=TRUSTED,
            # Said, or MLflow would load the model once more to find them out.
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )
        mlflow.log_dict({"classes": list(data.classes)}, CLASSES)

    def log_plots(self, network: MLPClassifier, data: Images, epochs: list[Epoch]) -> None:
        """Loss and accuracy over the epochs, and what was taken for what at the end."""
        import mlflow

        from lib import plots

        guessed = network.predict(data.test_x)
        figures = {
            "loss": plots.curves({"loss": [epoch.loss for epoch in epochs]}),
            "accuracy": plots.curves({"accuracy": [epoch.accuracy for epoch in epochs]}),
            "confusion_matrix": plots.confusion_matrix(data.test_y, guessed, data.classes),
        }
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png")

    def load_model(self, run_id: str) -> tuple[MLPClassifier, list[str]]:
        """What `log_model` logged to a run: the network and the names of its classes."""
        import mlflow.sklearn

        network = mlflow.sklearn.load_model(f"runs:/{run_id}/{MODEL}")
        return network, mlflow.artifacts.load_dict(f"runs:/{run_id}/{CLASSES}")["classes"]

    def guess(self, network: MLPClassifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of the likeliest class of each image, and how likely it is."""
        likely = network.predict_proba(self.rows(images))
        return network.classes_[likely.argmax(axis=1)], likely.max(axis=1)
