"""The folder that serves a model on any host with Python."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from common.places import PIPELINE
from common.prepared import sha256
from common.step import StepError

#: What the server imports, in the versions that are installed here.
REQUIRED = ("fastapi", "uvicorn", "onnxruntime", "numpy", "pillow")

ENTRYPOINT = "onnx_runtime_server_entrypoint.sh"


def build(model: Path, name: str, entrypoint: str, folder: Path) -> str:
    """Put a model (from a folder with its model.json) and its server into an empty `folder`.

    Which data it was trained with comes back.
    """
    for file in (model / name, model / "model.json"):
        _copy(file, folder / file.name)
    note = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    if note["file"] != name or note["sha256"] != sha256(folder / name):
        raise StepError(f"{model / name} is not the model that model.json tells of.")
    _copy(PIPELINE / "building" / "server.py", folder / "server.py")
    _copy(Path(entrypoint), folder / ENTRYPOINT)
    lines = [f"{package}=={version(package)}\n" for package in REQUIRED]
    (folder / "requirements.txt").write_text("".join(lines))
    return str(note["data"])


def add_dockerfile(path: str, folder: Path) -> None:
    """The recipe goes with the folder: it can become an image elsewhere."""
    _copy(Path(path), folder / "Dockerfile")


def _copy(source: Path, to: Path) -> None:
    try:
        shutil.copy(source, to)
    except OSError as error:
        raise StepError(f"{source} can't be copied: {error.strerror}.") from error
