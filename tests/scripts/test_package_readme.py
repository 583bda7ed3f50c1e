"""What a package index shows has no link that leads nowhere."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

INTERFACE = "hatchling.metadata.plugin.interface"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook, without hatchling, which only builds have."""
    stub = ModuleType(INTERFACE)
    stub.MetadataHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, INTERFACE, stub)
    monkeypatch.delitem(sys.modules, "scripts.package_readme", raising=False)
    return importlib.import_module("scripts.package_readme")


def test_the_readme_of_the_package_has_all_but_links_to_files(hook: Any) -> None:
    metadata: dict[str, Any] = {}
    hook.Readme.update(SimpleNamespace(root=str(ROOT)), metadata)
    text = metadata["readme"]["text"]
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    assert "<picture>" not in text
    assert "make sync-push TARGET_DIR=user@host:/proj" in text
    assert len(text.splitlines()) > 60


def test_a_link_to_an_address_stays(hook: Any) -> None:
    text = '# T\n\n![p](docs/p.svg)\n\n<picture>\n <img src="p">\n</picture>\n\n[a](a.md) · [b](b.md)\n\nSee [c](docs/c.md#x) and [d](https://example.org/).\n'
    shown = "# T\n\nSee c and [d](https://example.org/).\n"
    assert hook.without_links_to_files(text) == shown


def test_hatchling_is_told_of_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert (
        settings["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]
        == "scripts/package_readme.py"
    )
    assert settings["project"]["dynamic"] == ["readme"]
