"""Figures that are logged as artifacts: `mlflow.log_figure(plots.curves(...), "curves.png")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import font_manager, rcParams
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

#: Fonts for Japanese, of Debian, of Macs and of Windows. Letters that matplotlib's own font lacks are
#: taken from the first that is there.
JAPANESE = (
    *("Noto Sans CJK JP", "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic"),
    *("Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic"),
)


def _figure(width: float, height: float) -> Figure:
    """An empty one, whose letters may be Japanese."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in JAPANESE if name in installed]
    rcParams["font.family"] = ["sans-serif", *fonts]
    return Figure(figsize=(width, height), layout="constrained")


def confusion_matrix(truth: np.ndarray, guessed: np.ndarray, classes: Sequence[str]) -> Figure:
    """How often images of each class (rows) were taken for each class (columns)."""
    figure = _figure(6, 5.5)
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
    figure = _figure(6, 4)
    axes = figure.subplots()
    for name, values in histories.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
