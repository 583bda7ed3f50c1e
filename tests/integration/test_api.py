"""The toolkit from Python: what a notebook or a script types."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from remote import Target, api
from remote.errors import JobError, NotebookError, ProtocolError, RemoteError
from remote.job.messages.jobs import LogAnswer, LogRequest
from tests.conftest import ROOT
from tests.integration.farm import Farm, farm_in
from tests.integration.reader import blocks
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with farm_in(tmp_path, gpus=0) as made:
        yield made


@pytest.fixture
def target(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> Target:
    for name, value in farm.project.env.items():
        monkeypatch.setenv(name, value)
    return Target(project=farm.project.root)


def test_a_job_is_run_watched_and_ended_from_python(target: Target, farm: Farm) -> None:
    farm.project.write("src/new.py", "x = 1\n")
    assert target.push().files.sent == ["src/new.py"]
    job = target.run(shell="echo one; echo two; exit 3", record=False, timeout="1h", env={"A": "5"})
    ended = job.wait()
    assert (ended.state, ended.exit_code) == ("failed", 3) and job.state == "failed"
    assert "one\ntwo\n" in job.log() and "exit code 3" in job.log(tail=1)
    assert job.summary.timeout == 3600 and job.summary.variables == ("A",)
    assert target.job() == job and target.jobs(newest=1)[0].id == job.id
    going = target.run(shell="sleep 600", record=False)
    assert going.stop().state == "stopped"
    pulled = target.pull()
    assert pulled.problems == [] and (farm.project.root / ".remote").is_dir()


def test_what_can_not_be_is_an_error_before_anything_is_sent(target: Target, farm: Farm) -> None:
    cases: list[tuple[type[RemoteError], str, dict[str, object]]] = [
        (JobError, "Either a program or a shell line", {}),
        (JobError, "Either", {"program": "x.py", "shell": "x"}),
        (RemoteError, "takes a time", {"shell": "x", "timeout": "soon"}),
        (JobError, "no option 'gpu' of a job", {"shell": "x", "gpu": 1}),
        (NotebookError, "nonesuch", {"program": "nonesuch.ipynb"}),
        (JobError, "a list of words, not 'abc'", {"program": "x.py", "arguments": "abc"}),
        (JobError, "env takes a dict", {"shell": "x", "env": ["A=1"]}),
        (RemoteError, "--env.*text is expected", {"shell": "x", "env": {"A": 1}}),
        (JobError, "no parameters", {"shell": "x", "parameters": {"a": 1}}),
    ]
    for kind, words, asked in cases:
        with pytest.raises(kind, match=words):
            target.run(**asked)  # type: ignore[arg-type]
    assert [job.name for job in target.jobs()] == ["setup"]


def test_the_runs_that_are_here_are_a_table(target: Target, farm: Farm) -> None:
    import mlflow

    store = empty_store(farm.project.root)
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    run = client.create_run("0")
    client.log_param(run.info.run_id, "lr", 0.1)
    before = mlflow.get_tracking_uri()
    found = target.records("params.lr = '0.1'")
    assert list(found["run_id"]) == [run.info.run_id] and list(found["params.lr"]) == ["0.1"]
    assert len(target.records("params.lr = '2'")) == 0 and mlflow.get_tracking_uri() == before


def test_the_example_of_the_documents_runs(
    target: Target,
    farm: Farm,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    farm.project.write("src/train.py", "import sys\nprint(sys.argv[1:])\n")
    empty_store(farm.project.root)
    monkeypatch.chdir(farm.project.root)
    # docs/ja/ has the same: test_docs.py compares them.
    page = ROOT / "docs/python.md"
    (example,) = blocks(page.read_text(), "python")
    exec(compile(example, str(page), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:3:2]] == ["finished", "finished"]
    assert lines[-1].startswith("[2 rows"), lines


def test_it_costs_nothing_where_it_is_not_asked_for() -> None:
    code = "import sys, remote; print([n for n in sys.modules if n.startswith('remote.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="nonesuch"):
        import remote

        remote.nonesuch  # noqa: B018


def test_a_server_that_floods_who_asks_for_little_of_a_log_is_refused() -> None:
    def flood(request: LogRequest, on_answer: Callable[[LogAnswer], None]) -> None:
        while request.most:
            on_answer(LogAnswer(id="a", offset=0, text="x" * 1000))

    flooded = object.__new__(Target)
    flooded.session = SimpleNamespace(key="k", agent=SimpleNamespace(call=flood))  # type: ignore
    with pytest.raises(ProtocolError, match="more of a log than was requested"):
        api.Job(flooded, "a").log(most=5000)


def test_an_option_may_be_a_text_as_it_would_be_typed() -> None:
    typed = {"tags": "a=b", "extras": "torch", "sbatch": "-p long", "gpu_exclude": "0,3"}
    options = api._run_options(typed)
    assert (options.tags, options.extras) == ({"a": "b"}, ("torch",))
    assert (options.sbatch, options.gpu_exclude) == (("-p", "long"), ("0", "3"))
