"""The README as a package index shows it: without links to files, which lead nowhere there.

Hatchling calls it at each build (`[tool.hatch.metadata.hooks.custom]` in pyproject.toml).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def without_links_to_files(text: str) -> str:
    """Links to addresses stay; of others stays what they are called. Lines of links go, and pictures."""
    text = re.sub(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n", "", text, flags=re.M)
    text = re.sub(r"^<picture>.*?^</picture>\n\n", "", text, flags=re.M | re.S)
    text = re.sub(
        r"^\[[^\]]*\]\((?!https?:)[^)]*\)(?: · \[[^\]]*\]\([^)]*\))*\n\n", "", text, flags=re.M
    )
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


class Readme(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": without_links_to_files(text),
        }
