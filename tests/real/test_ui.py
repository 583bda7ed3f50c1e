"""The third witness: plain `mlflow ui` in a browser, on a store in which four servers' records met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.conftest import ROOT
from tests.real import browser, ui
from tests.real.browser import Browser
from tests.real.conftest import Make
from tests.real.world import Laptop, Server

pytestmark = pytest.mark.timeout(600)
SHOTS = ROOT / ".demo" / "screenshots" / "real"


@pytest.fixture(scope="module")
def here(laptop: Make, old: Server, autolog: Server, traced: Server, sweep: Server) -> Laptop:
    made = laptop("with a browser")
    for server in (old, autolog, traced, sweep):
        assert made.pull(server).refused == ()
    return made


@pytest.fixture(scope="module")
def address(here: Laptop) -> Iterator[str]:
    with ui.served(here.root) as found:
        yield found + "/#"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.running(tmp_path_factory.mktemp("profile")) as found:
        yield found


def experiment(here: Laptop, name: str) -> str:
    return str(here.one("SELECT experiment_id FROM experiments WHERE name = ?", name))


def query(**values: list[str]) -> str:
    return "&".join(f"{name}={quote(json.dumps(value))}" for name, value in values.items())


def test_metrics_are_drawn(here: Laptop, old: Server, address: str, chromium: Browser) -> None:
    place = f"{address}/experiments/{experiment(here, 'vision / größe')}/runs"
    with chromium.page(f"{place}/{old.facts['runs']['slow']}/model-metrics") as page:
        page.shows("slow (loss)")
        charts = "[...document.querySelectorAll('.js-plotly-plot')]"
        chart = f"{charts}.find(e => e.data?.some(line => line.metricKey === 'loss'))"
        points = page.wait(f"{chart}?.data.map(line => [line.name, line.x.length])")
        assert ["slow", 25] in points
        page.wait(f"{chart}.querySelector('path.js-line')?.getTotalLength() > 100")
        page.ask(f"{chart}.scrollIntoView()")
        page.shot(SHOTS / "metrics.png")


def test_an_artifact_is_previewed(
    here: Laptop, old: Server, address: str, chromium: Browser
) -> None:
    place = f"{address}/experiments/{experiment(here, 'vision / größe')}/runs"
    with chromium.page(f"{place}/{old.facts['runs']['slow']}/artifacts/notes/hello.txt") as page:
        page.shows("hello from slow", str(here.root / "mlruns"))
        page.shot(SHOTS / "artifact.png")
        page.press("summary.json")
        page.shows('"name": "slow"')


def test_two_runs_are_compared(here: Laptop, old: Server, address: str, chromium: Browser) -> None:
    slow, fast = old.facts["runs"]["slow"], old.facts["runs"]["fast"]
    number = experiment(here, "vision / größe")
    with chromium.page(
        f"{address}/compare-runs?{query(runs=[slow, fast], experiments=[number])}"
    ) as page:
        page.shows("Comparing 2 Runs from 1 Experiment", slow, fast, "0.294", "0.04")
        page.wait("!!document.querySelector('.js-plotly-plot .parcoords')")
        page.shot(SHOTS / "comparison.png")
    wanted = (
        query(runs=[slow, fast], experiments=[number], plot_metric_keys=["loss"])
        + f"&metric={quote(json.dumps('loss'))}"
    )
    with chromium.page(f"{address}/metric?{wanted}") as page:
        page.shows("slow (loss)", "fast (loss)")
        lengths = "document.querySelector('.js-plotly-plot')?.data?.map(line => line.x.length)"
        assert set(page.wait(lengths)) == {25}
        page.shot(SHOTS / "two metrics.png")


def test_a_trace_shows_its_spans(
    here: Laptop, traced: Server, address: str, chromium: Browser
) -> None:
    place = f"{address}/experiments/{experiment(here, 'chat')}"
    with chromium.page(f"{place}/traces") as page:
        page.shows("fail please", "the answer, 日本 & <b>", "forty-two", "0.90")
        page.shot(SHOTS / "traces.png")
    with chromium.page(f"{place}/traces/{traced.facts['good']}") as page:
        page.shows("chat turn", "retrieve", "ask_model", "17 tokens")
        page.press("retrieve")
        page.shows("what is known of the answer")
        page.shot(SHOTS / "trace.png")
    with chromium.page(f"{place}/runs/{traced.facts['run']}/traces") as page:
        page.shows("the answer, 日本 & <b>")
        assert "fail please" not in page.text


def test_a_sweep_unfolds(here: Laptop, sweep: Server, address: str, chromium: Browser) -> None:
    place = f"{address}/experiments/{experiment(here, 'sweeps')}/runs"
    with chromium.page(place) as page:
        page.shows("7 matching runs", "sweep")
        for run, names in (("sweep", ["job 0", "job 1"]), ("job 1", ["fold 0", "fold 1"])):
            row = f"[...document.querySelectorAll('.ag-row')].find(e => e.innerText.includes('{run}'))"
            page.click(f"{row}?.querySelector('button[data-component-id*=runnamecell]')")
            page.shows(*names)
        page.shot(SHOTS / "sweep.png")
    [job, *_] = sweep.facts["folds"]
    with chromium.page(f"{place}/{job}") as page:
        page.shows("Parent run", "sweep", "Child runs", "fold 0", "fold 1")


def test_models_are_linked_to_their_runs(
    here: Laptop, autolog: Server, address: str, chromium: Browser
) -> None:
    facts = autolog.facts
    place = f"{address}/experiments/{experiment(here, 'flowers')}/models/{facts['model']}"
    with chromium.page(place) as page:
        page.shows("iris", "by hand", "accuracy", "Ready", facts["model_run"])
        page.shot(SHOTS / "model.png")
    with chromium.page(f"{place}/artifacts") as page:
        page.press("MLmodel")
        page.shows("python_function")
    with chromium.page(f"{address}/models/flowers/versions/1") as page:
        page.shows("by hand", "champion", "candidate", "Inputs (4)")
        page.shot(SHOTS / "version.png")


def test_records_of_all_servers_are_in_one_list(
    here: Laptop, address: str, chromium: Browser
) -> None:
    with chromium.page(f"{address}/experiments") as page:
        page.shows("vision / größe", "flowers", "chat", "sweeps")
        assert "thrown away" not in page.text
