"""Serve the model beside this file: an image of 32 x 32 pixels, PNG or JPEG, to /predict.

curl --data-binary @image.png http://127.0.0.1:8000/predict
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image

HERE = Path(__file__).resolve().parent
SIZE = (32, 32)
LARGEST = 100_000  # bytes; an image of this size has fewer, however badly it is packed

MODEL = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
SESSION = onnxruntime.InferenceSession(
    str(HERE / MODEL["file"]), providers=["CPUExecutionProvider"]
)

app = FastAPI(title=f"{MODEL['model_type']} for {MODEL['data']}")


@app.get("/health")
def health() -> dict:
    """Which model is served."""
    return MODEL


@app.post("/predict")
async def predict(request: Request) -> dict:
    """The class that the image shows, and the probability of each."""
    pixels = _pixels(await _body(request))
    return await run_in_threadpool(_predicted, pixels)


async def _body(request: Request) -> bytes:
    """What was sent; nobody can fill the memory with it."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise HTTPException(413, f"More than {LARGEST} bytes.")
    return bytes(body)


def _pixels(body: bytes) -> np.ndarray:
    """(32, 32, 3), bytes. The size is looked at before anything is unpacked."""
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as image:
            if image.size != SIZE:
                raise HTTPException(422, f"{image.width} x {image.height} pixels, not 32 x 32.")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise HTTPException(422, "Neither a PNG nor a JPEG image.") from None


def _predicted(pixels: np.ndarray) -> dict:
    [[probabilities]] = SESSION.run(["probabilities"], {"images": pixels[None]})
    best = int(probabilities.argmax())
    return {
        "label": best,
        "class": MODEL["classes"][best],
        "probabilities": [float(each) for each in probabilities],
    }
