"""Start the server, send it every test image, and see how good and how fast it is."""

from __future__ import annotations

import argparse

import mlflow
import numpy as np
from common import arguments, places, prepared
from common.step import StepError, running
from evaluate import report, serving

from lib import plots
from lib.extras import need

ARTIFACTS = "evaluation"


def main() -> None:
    args = arguments.of_step("evaluate")
    need("torch", "onnxruntime")
    places.enter_project()
    with running("evaluate") as run:
        tests = places.fetched(args.test_data_directory)
        note = prepared.check(tests)
        mlflow.set_tag("data", note.data)
        _evaluate(args, run, note, prepared.read(tests, "test"))


def _evaluate(args: argparse.Namespace, run: str, note: prepared.Note, part: prepared.Part) -> None:
    with places.work_folder(args.downstream, run) as folder:
        with serving.served(places.fetched(args.upstream), folder / "server.log") as server:
            model = server.health()
            if tuple(model["classes"]) != note.classes:
                raise StepError(
                    f"The model was made for {model['data']}, and these are {note.data}."
                )
            predictions = _predictions(server, part)
        figures = report.figures(predictions)
        report.write(folder, predictions, {**figures, "data": note.data, "model": model})
        mlflow.log_metrics(figures)
        mlflow.log_artifacts(str(folder), ARTIFACTS)
    guessed = np.array([each.predicted for each in predictions])
    mlflow.log_figure(
        plots.confusion_matrix(part.labels, guessed, note.classes), "confusion_matrix.png"
    )
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"evaluate: {told} ({note.data})", flush=True)


def _predictions(server: serving.Server, part: prepared.Part) -> list[report.Prediction]:
    """What the server says of each image; the first question, which warms it up, isn't counted."""
    server.predict(part.images[0])
    found = []
    for index, (image, label) in enumerate(zip(part.images, part.labels)):
        answer, latency = server.predict(image)
        best = answer["label"]
        probability = answer["probabilities"][best]
        found.append(report.Prediction(index, int(label), best, probability, latency))
    return found


if __name__ == "__main__":
    main()
