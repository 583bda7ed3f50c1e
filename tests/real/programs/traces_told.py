"""What the project's own MLflow answers when it is asked for the traces of an experiment."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

_ASKED = (
    (MetricViewType.TRACES, "trace_count", AggregationType.COUNT, ["trace_name"]),
    (MetricViewType.TRACES, "total_tokens", AggregationType.SUM, None),
    (MetricViewType.TRACES, "session_count", AggregationType.COUNT, None),
    (MetricViewType.SPANS, "total_cost", AggregationType.SUM, ["span_model_name"]),
    (MetricViewType.ASSESSMENTS, "assessment_value", AggregationType.AVG, ["assessment_name"]),
)


def traces_told(client: MlflowClient, name: str) -> dict[str, Any]:
    """Searches and sums; ids of experiments and paths are left out."""
    experiment = client.get_experiment_by_name(name).experiment_id
    store = client._tracing_client.store

    def search(condition: str | None = None) -> list[Any]:
        found = client.search_traces(locations=[experiment], filter_string=condition)
        return sorted((_trace(each) for each in found), key=str)

    def ids(condition: str) -> list[str]:
        return [each["id"] for each in search(condition)]

    return {
        "all": search(),
        "by name": ids("trace.name = 'chat_turn'"),
        "by session": ids("metadata.`mlflow.trace.session` = 'session 1'"),
        "by tag": ids("tag.topic = 'numbers'"),
        "sums": [
            sorted(
                (str(sorted(point.dimensions.items())), str(sorted(point.values.items())))
                for point in store.query_trace_metrics(
                    [experiment], view, metric, [MetricAggregation(kind)], dimensions=dimensions
                )
            )
            for view, metric, kind, dimensions in _ASKED
        ],
    }


def _trace(trace: Any) -> dict[str, Any]:
    info = trace.info
    return {
        "id": info.trace_id,
        "state": str(info.state),
        "tokens": info.token_usage,
        "cost": getattr(info, "cost", None),
        "metadata": info.trace_metadata,
        "tags": {key: info.tags[key] for key in info.tags if key != "mlflow.artifactLocation"},
        "assessments": sorted(str((each.name, each.value)) for each in info.assessments),
        "spans": [(span.name, span.inputs, span.outputs) for span in trace.data.spans],
    }
