"""Figures that are logged as artifacts: `mlflow.log_figure(plots.curves(...), "curves.png")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay


def confusion_matrix(truth: np.ndarray, guessed: np.ndarray, classes: Sequence[str]) -> Figure:
    """How often images of each class (rows) were taken for each class (columns)."""
    figure = Figure(figsize=(6, 5.5), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        truth,
        guessed,
        labels=range(len(classes)),
        display_labels=classes,
        xticks_rotation="vertical" if max(map(len, classes)) > 2 else "horizontal",
        cmap="Blues",
        colorbar=False,
        ax=figure.subplots(),
    )
    return figure


def curves(histories: Mapping[str, Sequence[float]]) -> Figure:
    """One curve over the epochs (from 1) for each name."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in histories.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
