"""One call at the end of a notebook keeps all of an experiment in MLflow: `save_mlflow`."""

from .items import SaveError
from .save import Saved, save_mlflow

__all__ = ["SaveError", "Saved", "save_mlflow"]
