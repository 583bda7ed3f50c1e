"""Where this toolkit was installed from, so that the project gets it from there too (PEP 610)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from remote.adopt import pyproject

NAME = "remote-gpu-workflow"


@dataclass(frozen=True)
class Source:
    """A requirement, as a requirements file takes it; `here` says that it is of this machine only.

    `editable` is a folder, in the place of a requirement.
    """

    requirement: str
    here: bool = False
    editable: str = ""

    @property
    def line(self) -> str:
        """The line of a requirements file."""
        return f"-e {Path(self.editable).as_uri()}" if self.editable else self.requirement

    @property
    def words(self) -> tuple[str, ...]:
        """What follows `uv add`."""
        return ("--editable", self.editable) if self.editable else (self.requirement,)


def source() -> Source:
    """The source of the toolkit that runs now."""
    folder = Path(__file__).resolve().parents[2]
    if (folder / "pyproject.toml").is_file():
        return of_folder(folder)
    found = metadata.distribution(NAME)
    origin = found.read_text("direct_url.json")
    return of_url(json.loads(origin)) if origin else Source(f"{NAME}>={found.version}")


def of_folder(folder: Path) -> Source:
    """A clone of the toolkit, whatever its project is called by now."""
    text = (folder / "pyproject.toml").read_text("utf-8")
    name = pyproject.parsed(text).get("project", {}).get("name", NAME)
    return Source(name, here=True, editable=str(folder))


def of_url(origin: Mapping[str, Any]) -> Source:
    """What a `direct_url.json` says."""
    url = _without_password(str(origin["url"]))
    part = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
    if "vcs_info" in origin:
        info = origin["vcs_info"]
        at = info.get("requested_revision") or info["commit_id"]
        return Source(f"{NAME} @ {info['vcs']}+{url}@{at}{part}", here=url.startswith("file:"))
    return Source(f"{NAME} @ {url}{part}", here=url.startswith("file:"))


def _without_password(url: str) -> str:
    """A login named `git` is no secret; any other may be a token."""
    return re.sub(r"^(\w+://)(?!git@)[^/@]*@", r"\1", url)
