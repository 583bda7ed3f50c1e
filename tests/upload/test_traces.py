"""Traces keep their ids, spans, tags and assessments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.upload import spans
from tests.upload.conftest import Far
from tests.upload.test_interrupted import upload_in_steps

_TRACED = """
import sys
import mlflow
from mlflow.entities import AssessmentSource, SpanType

mlflow.set_tracking_uri("sqlite:///" + sys.argv[1])
mlflow.set_experiment(experiment_id=sys.argv[2])

@mlflow.trace(span_type=SpanType.LLM, attributes={"odd": [1, "x", None, {"k": 2.5, "n": -3}]})
def answer(question):
    mlflow.update_current_trace(
        tags={"colour": "red"}, metadata={"mlflow.trace.session": "s-1", "mood": "good"}
    )
    return part(question) + 1

@mlflow.trace
def part(question):
    mlflow.get_current_active_span().set_attribute(
        "mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    )
    return {"a": question}["a"]

with mlflow.start_run(run_id=sys.argv[3]):
    answer(3)
    try:
        answer("three")
    except TypeError:
        pass
mlflow.flush_trace_async_logging()
trace = mlflow.get_last_active_trace_id()
source = AssessmentSource("HUMAN", "ann")
log = dict(trace_id=trace, source=source)
mlflow.log_feedback(name="good", value=True, rationale="because", metadata={"m": "1"}, **log)
mlflow.log_feedback(name="scores", value={"a": [1.5, 2.5]}, **log)
mlflow.log_expectation(name="expected", value=[1, "2"], **log)
"""


@pytest.fixture
def traced(far: Far, tmp_path: Path) -> str:
    """A run with two traces. In a process of its own: tracing sets up the whole process."""
    run = far.project.run(far.experiment)
    script = tmp_path / "traced.py"
    script.write_text(_TRACED)
    argv = [sys.executable, str(script), str(far.project.store), far.experiment, run]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    done = subprocess.run(argv, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return run


def traces(client: Any, experiment: str) -> dict[str, Any]:
    found = client.search_traces(locations=[experiment])
    return {each.info.trace_id: each for each in found}


def there(far: Far) -> dict[str, Any]:
    return traces(far.there, far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id)


def told(trace: Any, run: str) -> dict[str, Any]:
    """What is the same on both sides."""
    info = trace.info
    own = ("mlflow.artifactLocation",)
    return {
        "tags": {key: value for key, value in info.tags.items() if key not in own},
        "metadata": {**info.trace_metadata, "mlflow.sourceRun": run},
        "times": (info.request_time, info.execution_duration, info.state),
        "previews": (info.request_preview, info.response_preview),
        "spans": [span.to_dict() for span in trace.data.spans],
        "assessments": sorted(
            (each.assessment_id, each.name, str(each.value), each.rationale, each.metadata)
            for each in info.assessments
        ),
    }


def test_a_trace_comes_whole(far: Far, traced: str, writes: list[str]) -> None:
    summary = far.push()

    assert (summary.new_traces, summary.notes, summary.left_out) == (2, (), ())
    here, ours = traces(far.project.client, far.experiment), there(far)
    run = far.run_of(traced).info.run_id
    assert {each.info.trace_metadata["mlflow.sourceRun"] for each in ours.values()} == {run}
    assert len(here) == 2 and set(here) == set(ours)
    for trace in here:
        assert told(ours[trace], run) == told(here[trace], run)
    assert any(span.events for trace in ours.values() for span in trace.data.spans)
    writes.clear()
    far.push()
    assert writes == []


def test_tags_and_assessments_change_on_both_sides(far: Far, traced: str) -> None:
    far.push()
    (trace,) = (each for each in there(far).values() if each.info.assessments)
    identity = trace.info.trace_id
    ids = {each.name: each.assessment_id for each in trace.info.assessments}
    client = far.project.client
    far.there.set_trace_tag(identity, "colour", "blue")
    client.set_trace_tag(identity, "size", "big")
    client.set_trace_tag(identity, "mlflow.traceName", "renamed")
    sql = far.project.sql
    sql("UPDATE assessments SET value = 'false' WHERE assessment_id = ?", ids["good"])
    sql("DELETE FROM assessments WHERE assessment_id = ?", ids["scores"])

    assert far.push().conflicts == ()

    after = there(far)[identity].info
    wanted = {"colour": "blue", "size": "big", "mlflow.traceName": "renamed"}
    assert {key: after.tags[key] for key in wanted} == wanted
    assert {each.name: each.value for each in after.assessments} == {
        "good": False,
        "expected": [1, "2"],
    }
    client.delete_trace_tag(identity, "size")
    far.push()
    assert "size" not in there(far)[identity].info.tags


def test_it_can_be_stopped_anywhere(far: Far, traced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload_in_steps(far, monkeypatch, 4) > 2

    here, ours = traces(far.project.client, far.experiment), there(far)
    run = far.run_of(traced).info.run_id
    for trace in here:
        assert told(ours[trace], run) == told(here[trace], run)


def test_a_server_without_that_part_of_the_api(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    far.project.run(far.experiment)
    far.project.sql(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES ('tr-1', ?, 1, 'OK')",
        far.experiment,
    )
    monkeypatch.setattr("remote.upload.traces.API_3", "/api/9.0/mlflow/")

    summary = far.push()

    assert summary.left_out == ("trace_info",) and summary.new_runs == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {}),
        (True, {"boolValue": True}),
        (2**70, {"doubleValue": float(2**70)}),
        (7, {"intValue": "7"}),
        (float("inf"), {"doubleValue": "Infinity"}),
        ("x", {"stringValue": "x"}),
        ([1, None], {"arrayValue": {"values": [{"intValue": "1"}, {}]}}),
        ({"k": 1}, {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}),
    ],
)
def test_values_of_attributes(value: object, expected: object) -> None:
    content = {"span_id": "E0IaEdE4hjE=", "start_time_unix_nano": 1, "attributes": {}}
    content["events"] = [{"name": "e", "attributes": {"a": value}}]
    made = spans.span("0" * 32, content)
    assert made["spanId"] == "13421a11d1388631"
    assert made["events"][0]["attributes"] == [{"key": "a", "value": expected}]
