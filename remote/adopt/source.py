"""Where this toolkit was installed from, so that the project gets it from there too (PEP 610)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "remote-gpu-workflow"


def source() -> tuple[str, ...]:
    """The words that follow `pip install` and `uv add`, for the toolkit that runs now."""
    folder = Path(__file__).resolve().parents[2]
    if (folder / "pyproject.toml").is_file():
        return "--editable", str(folder)
    installed = metadata.distribution(NAME)
    origin = installed.read_text("direct_url.json")
    return (of_url(json.loads(origin)) if origin else f"{NAME}>={installed.version}",)


def of_url(origin: Mapping[str, Any]) -> str:
    """The requirement of what a `direct_url.json` says."""
    # A login named `git` is no secret; any other may be a token.
    url = re.sub(r"^(\w+://)(?!git@)[^/@]*@", r"\1", str(origin["url"]))
    part = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    if "vcs_info" not in origin:
        return f"{NAME} @ {url}{part}"
    info = origin["vcs_info"]
    revision = info.get("requested_revision") or info["commit_id"]
    return f"{NAME} @ {info['vcs']}+{url}@{revision}{part}"
