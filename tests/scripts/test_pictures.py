"""Pictures of terminals: light, dark, or as the reader's system is."""

from __future__ import annotations

import pytest

from scripts.pictures import svg
from scripts.pictures.terminal import Frame
from tests.conftest import ROOT

FRAMES = [Frame(["$ make sync-push", "\x1b[32mdone\x1b[0m"], 0)]


def test_a_picture_follows_the_readers_system_unless_it_is_of_one_mode() -> None:
    either, light, dark = (svg.picture(FRAMES, 1, 20, "x", mode) for mode in ("", *svg.MODES))
    assert "prefers-color-scheme" in either
    assert "prefers-color-scheme" not in light + dark
    assert svg.PAPER[0] in light and svg.PAPER[1] not in light
    assert svg.PAPER[1] in dark and svg.PAPER[0] not in dark


@pytest.mark.parametrize("mode", svg.MODES)
def test_the_variants_of_the_readme_are_of_the_same_recording(mode: str) -> None:
    texts = [
        (ROOT / f"docs/pictures/{name}.svg").read_text("utf-8") for name in ("loop", f"loop-{mode}")
    ]
    either, one = (text.replace(svg.style(kind), "") for text, kind in zip(texts, ("", mode)))
    assert either == one
