"""Traces with spans and assessments, and the data set that was made of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.compared import Records, differences
from tests.real.conftest import Make
from tests.real.world import Laptop, Server

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(laptop: Make, traced: Server) -> Laptop:
    made = laptop("of traces")
    # An experiment of the laptop's own: ids here differ from those there.
    made.client.create_experiment("mine", str(made.root / "mlruns" / "1"))
    summary = made.pull(traced)
    assert summary.left_out == summary.refused == summary.conflicts == ()
    assert summary.new_traces == 2
    return made


def test_sql_finds_the_same_rows(here: Laptop, traced: Server) -> None:
    theirs, ours = Records(traced.store, traced.root), Records(here.store, here.root)
    [only] = differences(theirs, ours)
    assert (only.table, only.lacking, len(only.doubled_or_strange)) == ("experiments", [], 1)
    assert ours.tables().keys() >= {"spans", "assessments", "evaluation_dataset_records"}


def test_the_client_opens_the_trace(here: Laptop, traced: Server) -> None:
    trace = here.client.get_trace(traced.facts["good"])
    spans = {span.name: span for span in trace.data.spans}
    assert spans["ask_model"].parent_id == spans["retrieve"].parent_id == spans["chat turn"].span_id
    assert spans["retrieve"].outputs[0]["metadata"] == {"page": 3}
    assert spans["chat turn"].outputs == "forty-two"
    assert trace.info.tags["topic"] == "numbers"
    assert trace.info.trace_metadata["mlflow.sourceRun"] == traced.facts["run"]
    assert trace.info.token_usage["total_tokens"] == 17
    said = {(each.name, each.value, each.valid) for each in trace.info.assessments if each.feedback}
    assert said == {("relevance", 0.5, False), ("relevance", 0.9, True)}
    [expected] = [each for each in trace.info.assessments if each.expectation]
    assert expected.value == {"answer": "forty-two"}


def test_a_trace_that_failed_says_why(here: Laptop, traced: Server) -> None:
    trace = here.client.get_trace(traced.facts["bad"])
    assert trace.info.state == "ERROR"
    [failed] = [span for span in trace.data.spans if span.name == "ask_model"]
    assert "the model is tired" in str(failed.events[0].attributes)


def test_search_finds_it(here: Laptop, traced: Server) -> None:
    with here.used() as mlflow:
        experiment = mlflow.get_experiment_by_name("chat").experiment_id
        assert experiment == "2"

        def found(condition: str) -> set[str]:
            traces = mlflow.search_traces(
                locations=[experiment], filter_string=condition, return_type="list"
            )
            return {trace.info.trace_id for trace in traces}

        good, bad = traced.facts["good"], traced.facts["bad"]
        assert found("tags.topic = 'numbers'") == {good, bad}
        assert found("status = 'ERROR'") == {bad}
        assert found(f"metadata.mlflow.sourceRun = '{traced.facts['run']}'") == {good}
        assert found("feedback.relevance > 0.8") == {good}
        [session] = mlflow.search_sessions(locations=[experiment])
        assert len(session) == 2


def test_the_data_set_opens(here: Laptop, traced: Server) -> None:
    with here.used() as mlflow:
        dataset = mlflow.genai.datasets.get_dataset(dataset_id=traced.facts["dataset"])
        assert dataset.name == "questions" and dataset.tags["version"] == "1"
        assert dataset.experiment_ids == ["2"]
        records: list[dict[str, Any]] = dataset.to_df().to_dict("records")
        assert len(records) == traced.facts["records"] == 3
        assert {"question": "the answer, 日本 & <b>"} in [each["inputs"] for each in records]


def test_what_is_said_of_it_here_stays(here: Laptop, traced: Server) -> None:
    with here.used() as mlflow:
        mlflow.log_feedback(trace_id=traced.facts["bad"], name="mine", value="poor")
        mlflow.set_trace_tag(traced.facts["bad"], "looked at", "twice")
    summary = here.pull(traced)
    assert (summary.new_traces, summary.conflicts) == (0, ())
    info = here.client.get_trace(traced.facts["bad"]).info
    assert info.tags["looked at"] == "twice"
    assert {each.name for each in info.assessments} == {"helpful", "mine"}


def test_nothing_here_names_the_server(here: Laptop, traced: Server) -> None:
    assert here.names(traced.root) == []
