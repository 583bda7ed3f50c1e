"""A run's folder as rows: of MLflow 1 and 2, half written, damaged."""

from __future__ import annotations

import pytest

from tests.tracking.filestore.file_stores import POINT, Delta


def test_a_run_of_mlflow_1(store):
    run = store.run(
        0xA1,
        artifact_uri="./mlruns/0/" + f"{0xA1:032x}" + "/artifacts",
        run_id=...,
        run_name=...,
        name="''",
        source_type=3,
        source_name="'https://example.org/x#y: z'",
        source_version="0123456789abcdef0123456789abcdef01234567",
        entry_point_name="main",
        status=5,
        lifecycle_stage=...,
    )
    store.write(f"0/{run}/tags/mlflow.runName", "calm\n")
    delta = Delta(store)
    assert delta.left_out == []
    assert delta.rows("runs") == [
        (
            run,
            "calm\n",
            "PROJECT",
            "https://example.org/x#y: z",
            "main",
            "ada",
            "KILLED",
            1_700_000_001_000,
            1_700_000_009_000,
            "0123456789abcdef0123456789abcdef01234567",
            "active",
            f"{store.root}/0/{run}/artifacts",
            0,
            None,
        )
    ]
    assert delta.rows("tags", "key, value") == [("mlflow.runName", "calm\n")]


@pytest.mark.parametrize(
    "status, expected",
    [(1, "RUNNING"), (2, "SCHEDULED"), (3, "FINISHED"), (4, "FAILED"), (5, "KILLED")]
    + [(..., "RUNNING")],
)
def test_a_status_is_a_number(store, status, expected):
    store.run(1, status=status)
    assert Delta(store).rows("runs", "status") == [(expected,)]


def test_metric_lines_without_a_step(store):
    run = store.run(1)
    store.write(f"0/{run}/metrics/two", "5 0.5\n6 0.25\n")
    store.write(f"0/{run}/metrics/mixed", "5 0.5\n6 1e3 7\n8 2 9 data abc\n")
    delta = Delta(store)
    assert delta.rows("metrics", "key, timestamp, value, step") == [
        ("mixed", 5, 0.5, 0),
        ("mixed", 6, 1000.0, 7),
        ("mixed", 8, 2.0, 9),
        ("two", 5, 0.5, 0),
        ("two", 6, 0.25, 0),
    ]
    assert delta.left_out == []


def test_made_up_ids_are_always_the_same(store):
    run = store.run(1)
    store.write("0/datasets/aa/meta.yaml", "digest: x\nname: d\nsource: s\nsource_type: code\n")
    store.write(
        f"0/{run}/inputs/bb/meta.yaml",
        "source_id: aa\nsource_type: DATASET\ntags:\n  mlflow.data.context: train\n",
    )
    first, second = Delta(store), Delta(store)
    for table in ("datasets", "inputs", "input_tags"):
        assert first.rows(table) == second.rows(table) != []
    ((uuid, dataset),) = first.rows("inputs", "input_uuid, source_id")
    assert first.rows("datasets", "dataset_uuid") == [(dataset,)]
    assert first.rows("input_tags") == [(uuid, "mlflow.data.context", "train")]


def test_one_damaged_run_does_not_stop_the_others(store):
    good = store.run(1)
    junk = {
        "empty": b"",
        "binary": b"\x00\xff\xfe\x80" * 50,
        "list": b"- a\n- b\n",
        "open": b"name: 'no end\n",
        "python": b"run_id: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "other": b"run_id: somebody\n",
        "status": b"status: 99\n",
        "time": b"status: 3\nstart_time: soon\n",
        "huge": b"status: 3\nstart_time: " + b"9" * 40 + b"\n",
        "date": b"status: 3\nstart_time: 2020-13-45\n",
        "map": b"status: 3\nuser_id: {a: b}\n",
        "half": b'status: 3\nuser_id: "\\ud800"\n',
        "deep": b"a: " + b"[" * 50_000 + b"\n",
    }
    for name, content in junk.items():
        store.write(f"0/{name}/meta.yaml", content)
    delta = Delta(store)
    assert delta.ids("run") == [good]
    told = {line.split(": ")[0] for line in delta.left_out}
    assert told == {f"runs/{name}" for name in junk}
    assert all("meta.yaml can't be read (" in line for line in delta.left_out)


def test_a_damaged_part_costs_that_part_alone(store):
    run = store.run(1)
    store.write(f"0/{run}/params/binary", b"\xff\xfe")
    store.write(f"0/{run}/params/long", b"x" * (25 << 20))
    store.write(f"0/{run}/params/lr", "0.1")
    store.write(
        f"0/{run}/metrics/loss", POINT + "what\n1 2 3 4\n1 x 3\n" + "9" * 30 + " 1 1\n5 1 5\n"
    )
    store.write(f"0/{run}/metrics/endless", b"1" * (3 << 20))
    store.write(f"0/{run}/inputs/aa/meta.yaml", "[]")
    delta = Delta(store)
    assert delta.rows("params", "key") == [("lr",)]
    assert delta.rows("metrics", "key, step") == [("loss", 1), ("loss", 3), ("loss", 5)]
    assert sorted(line.split(": ", 1)[1] for line in delta.left_out) == [
        "3 lines of metrics/loss can't be read",
        "inputs/aa/meta.yaml can't be read (it isn't YAML as MLflow writes it)",
        "metrics/endless can't be read (it has a line of more than a megabyte)",
        "params/binary can't be read (it isn't text)",
        "params/long can't be read (it has more than 25165824 bytes)",
    ]


def test_a_half_written_line_comes_the_next_time(store):
    run = store.run(1, status=1)
    path = store.write(f"0/{run}/metrics/loss", POINT + "1700000000001 0.25")
    delta = Delta(store)
    assert delta.rows("metrics", "step") == [(1,)] and delta.left_out == []
    assert delta.rows("latest_metrics", "step") == [(1,)]
    with path.open("a") as file:
        file.write(" 12\n")
    assert Delta(store, delta.after()).rows("metrics", "step") == [(1,), (12,)]


def test_the_last_line_of_a_finished_run_needs_no_end(store):
    run = store.run(1)
    store.write(f"0/{run}/metrics/loss", POINT.strip())
    assert Delta(store).points == 1
