"""Trained models, written as their own libraries write them.

| library | what is written | read again by |
| --- | --- | --- |
| transformers | a folder: model, configuration, tokenizer | `from_pretrained(folder)` |
| PyTorch | the parameters alone | `model.load_state_dict(torch.load(file))` |
| LightGBM's Booster | its text | `lightgbm.Booster(model_file=file)` |
| scikit-learn, LGBMClassifier ... | the object | `joblib.load(file)` |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .items import Write, is_a

KINDS = (
    "a model of transformers (or a tuple of model and tokenizer), PyTorch, LightGBM or"
    " scikit-learn, or the pathlib.Path of one"
)


def writer(thing: Any) -> Write | None:
    """What writes a model; None where it is of none of the libraries."""
    parts = thing if isinstance(thing, (tuple, list)) else (thing,)
    if parts and all(map(_is_of_transformers, parts)):
        return lambda path: [part.save_pretrained(path) for part in parts]
    if is_a(thing, "torch", "Module"):
        return lambda path: _save_torch(thing, path)
    if is_a(thing, "lightgbm", "Booster"):
        return lambda path: thing.save_model(path)
    if is_a(thing, "sklearn", "BaseEstimator"):
        return lambda path: _save_object(thing, path)
    return None


def _is_of_transformers(thing: Any) -> bool:
    roots = {str(each.__module__).partition(".")[0] for each in type(thing).__mro__}
    return "transformers" in roots and hasattr(thing, "save_pretrained")


def _save_torch(thing: Any, path: Path) -> None:
    import torch

    torch.save(thing.state_dict(), path)


def _save_object(thing: Any, path: Path) -> None:
    import joblib

    joblib.dump(thing, path)
