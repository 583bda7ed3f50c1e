"""What came of the test images: every prediction, and the figures made from them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Prediction:
    """What the server said of one test image, and the milliseconds until it had."""

    index: int
    label: int
    predicted: int
    probability: float
    latency_ms: float


def figures(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The share of right predictions, and how long they took."""
    latencies = [each.latency_ms for each in predictions]
    found = {f"latency_p{n}_ms": float(np.percentile(latencies, n)) for n in PERCENTILES}
    right = sum(each.predicted == each.label for each in predictions)
    return {
        "accuracy": right / len(predictions),
        **found,
        "latency_mean_ms": float(np.mean(latencies)),
        "images": len(predictions),
    }


def write(folder: Path, predictions: Sequence[Prediction], about: dict[str, Any]) -> None:
    """predictions.csv and evaluation.json."""
    with open(folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, [field.name for field in fields(Prediction)])
        rows.writeheader()
        rows.writerows(map(asdict, predictions))
    (folder / "evaluation.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
