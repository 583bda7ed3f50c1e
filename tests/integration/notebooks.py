"""Notebooks for the tests, written as papermill expects them."""

from __future__ import annotations

import json

PARAMETERS = """
epoch: int = 2  # passes
message: str = ""
ratio: float = 0.5
shuffle: bool = False
layers: list = [1, 2]
"""


def notebook(*cells: str, parameters: str = PARAMETERS, kernel: str = "python3") -> str:
    """The text of a notebook: a cell with parameters, then `cells`."""
    made = [_cell(parameters.strip("\n"), ["parameters"])] + [_cell(cell, []) for cell in cells]
    spec = {"display_name": kernel, "language": "python", "name": kernel}
    return json.dumps(
        {"cells": made, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 4}
    )


def _cell(source: str, tags: list[str]) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": tags},
        "outputs": [],
        "source": source.splitlines(True),
    }


ECHO = notebook("""
import json, os, sys
print(json.dumps({
    "values": [epoch, message, ratio, shuffle, layers],
    "cwd": os.getcwd(),
    "python": sys.executable,
    "tmux": os.environ.get("TMUX", ""),
}))
open("logs/echo.json", "w").write(json.dumps([epoch, message, ratio, shuffle, layers]))
""")

METRICS = notebook("""
import mlflow, time
with mlflow.start_run():
    for step in range(epoch):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    print("first part done", flush=True)
    if message == "wait":
        while not __import__("os").path.exists("data/processed/go"):
            time.sleep(0.1)
        mlflow.log_metric("loss", 0.0, step=epoch)
    mlflow.log_text("hello", "note.txt")
""")

FAILS = notebook("print('before')", "raise ValueError('the data is bad')", "print('never')")

SLEEPS = notebook("print('started', flush=True)\nimport time\ntime.sleep(600)")

FIGURE = notebook(
    "print('knows no mlflow')",
    """
import base64
from IPython.display import Image
Image(base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
))
""",
)

PLAIN = notebook("print('knows no mlflow')", kernel="somebody-elses-kernel")
