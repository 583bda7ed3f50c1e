"""The figures and the page of an executed notebook, made as a worker has them made."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.job.paths import JobPaths
from remote.runtime import draw_notebook

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    made = JobPaths(tmp_path, "20260101-090000-train-aaaa")
    made.folder.mkdir(parents=True)
    return made


def draw(
    paths: JobPaths, *cells: dict[str, Any], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Have a notebook of these code cells drawn by a process of its own."""
    document = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    paths.notebook.write_text(text or json.dumps(document), "utf-8")
    argv = [sys.executable, "-m", "remote.agent_main", "draw", str(paths.folder)]
    return subprocess.run(argv, capture_output=True, text=True)


def cell(count: int, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"c{count}",
        "cell_type": "code",
        "metadata": {},
        "execution_count": count,
        "source": "fit(x)",
        "outputs": [{"metadata": {}, **output} for output in outputs],
    }


def shown(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {k.replace("_", "/"): data[k] for k in data}}


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text, "metadata": {}}


def test_figures_are_files_that_are_called_after_their_cells(paths: JobPaths) -> None:
    text = base64.b64encode(PNG).decode()
    rich = shown(image_png=text, text_plain="<Figure>")
    done = draw(
        paths,
        cell(1, printed("no figure")),
        cell(2, rich, printed("between"), shown(image_jpeg=[text[:8], text[8:] + "\n"])),
        cell(7, shown(text_html="<b>"), rich),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(paths.figures)) == ["cell-2-1.png", "cell-2-2.jpg", "cell-7-1.png"]
    assert (paths.figures / "cell-2-2.jpg").read_bytes() == PNG


def test_neither_their_number_nor_their_size_is_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(draw_notebook, "FIGURES", 10 * len(PNG))
    text = base64.b64encode(PNG).decode()
    many = {"cells": [cell(1, *[shown(image_png=text)] * 200)]}
    assert len(list(draw_notebook._bounded(draw_notebook.figures(many)))) == 10
    monkeypatch.setattr(draw_notebook, "FIGURES", 1 << 30)
    assert len(list(draw_notebook._bounded(draw_notebook.figures(many)))) == draw_notebook.MANY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"cells": 5}',
        '{"cells": [{"execution_count": 1, "outputs": [7]}]}',
        "[" * 100_000,
    ],
)
def test_a_broken_notebook_costs_its_page_and_is_told_in_a_line(paths: JobPaths, text: str) -> None:
    done = draw(paths, text=text or " ")
    assert done.returncode == 1 and "Error" in done.stderr.splitlines()[-1]
    assert not paths.page.exists() and not paths.figures.exists()


def test_the_page_has_it_all_but_for_the_rest_of_long_outputs(
    paths: JobPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nbconvert")
    text = base64.b64encode(PNG).decode()
    failure = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["it failed here"]}
    picture = shown(image_png="A" * (draw_notebook.PICTURE + 4), text_plain="<a large figure>")
    done = draw(
        paths,
        cell(1, printed("beginning " + "x" * draw_notebook.TEXT)),
        cell(2, shown(image_png=text), shown(text_html="<table id=t>"), picture),
        cell(3, failure),
    )
    assert done.returncode == 0, done.stderr
    page = paths.page.read_text()
    assert "fit" in page and "beginning" in page and "it failed here" in page
    assert "[the notebook has 10 letters more]" in page and "A" * 1000 not in page
    assert f"data:image/png;base64,{text}" in page and '<table id="t">' in page
    assert "&lt;a large figure&gt;" in page and paths.id in page


def test_an_environment_without_nbconvert_has_the_figures_alone(
    paths: JobPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/nbconvert.py").write_text("raise ImportError('nbconvert')")
    path = [str(tmp_path / "without"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    done = draw(paths, cell(1, shown(image_png=base64.b64encode(PNG).decode())))
    assert (done.returncode, done.stderr) == (0, "")
    assert paths.figures.is_dir() and not paths.page.exists()
