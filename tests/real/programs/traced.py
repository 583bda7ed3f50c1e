"""A function that looks like one which asks a language model: traces, assessments, a data set."""

import json

import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType, SpanType
from mlflow.genai.datasets import create_dataset

mlflow.set_experiment("chat")


@mlflow.trace(span_type=SpanType.RETRIEVER)
def retrieve(question):
    return [{"page_content": f"what is known of {question}", "metadata": {"page": 3}}]


@mlflow.trace(span_type=SpanType.CHAT_MODEL)
def ask_model(messages):
    span = mlflow.get_current_active_span()
    span.set_attribute(
        "mlflow.chat.tokenUsage", {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    )
    if "fail" in messages[-1]["content"]:
        raise ValueError("the model is tired")
    return {"choices": [{"message": {"role": "assistant", "content": "forty-two"}}]}


@mlflow.trace(name="chat turn", span_type=SpanType.CHAIN)
def turn(question):
    pages = retrieve(question)
    mlflow.update_current_trace(
        tags={"topic": "numbers"},
        metadata={"mlflow.trace.session": "session 1", "mlflow.trace.user": "ann"},
    )
    text = f"{pages[0]['page_content']}: {question}"
    return ask_model([{"role": "user", "content": text}])["choices"][0]["message"]["content"]


with mlflow.start_run(run_name="evaluation") as run:
    turn("the answer, 日本 & <b>")
    good = mlflow.get_last_active_trace_id()
try:
    turn("fail please")
except ValueError:
    bad = mlflow.get_last_active_trace_id()
mlflow.flush_trace_async_logging()

judge = AssessmentSource(source_type=AssessmentSourceType.LLM_JUDGE, source_id="judge-1")
first = mlflow.log_feedback(
    trace_id=good, name="relevance", value=0.5, source=judge, rationale="so so"
)
mlflow.override_feedback(
    trace_id=good, assessment_id=first.assessment_id, value=0.9, rationale="on second thoughts"
)
mlflow.log_expectation(trace_id=good, name="expected", value={"answer": "forty-two"})
mlflow.log_feedback(trace_id=bad, name="helpful", value=False)
mlflow.set_trace_tag(bad, "looked at", "yes")

facts = {"run": run.info.run_id, "good": good, "bad": bad}

dataset = create_dataset(
    "questions",
    experiment_id=[mlflow.get_experiment_by_name("chat").experiment_id],
    tags={"version": "1"},
)
dataset.merge_records(
    [{"inputs": {"question": "the answer"}, "expectations": {"answer": "forty-two"}}]
)
dataset.merge_records(mlflow.search_traces(return_type="list"))
facts["dataset"] = dataset.dataset_id
facts["records"] = len(dataset.to_df())
print(json.dumps(facts))
