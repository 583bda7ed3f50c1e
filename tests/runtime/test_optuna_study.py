"""Optuna sweeps that are killed and go on. Optuna, Hydra and MLflow are real."""

from __future__ import annotations

import fcntl
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remote.agent.tracking.run_rows import TrialRun
from remote.job.outputs import links
from remote.job.spec import JobSpec
from remote.runtime import optuna_study
from tests.runtime.place import ROOT, Place
from tests.waiting import until

SWEEP = """
import os, time
import hydra

@hydra.main(config_path="conf", config_name="config")
def main(config):
    print("TRIAL", repr(config.x), flush=True)
    time.sleep(config.pause)
    if config.x == config.bad:
        raise ValueError("a bad one")
    return (float(config.x) - 0.3) ** 2

main()
"""

LOGGED = SWEEP.replace("import hydra", "import hydra, mlflow").replace(
    "    time.sleep",
    "    mlflow.start_run()\n    mlflow.log_params(config)\n"
    "    mlflow.log_metric('loss', 1)\n    time.sleep",
)

CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: optuna
x: 0.5
pause: 0.0
bad: none
hydra:
  sweeper:
    n_trials: 6
    n_jobs: 1
    sampler: {seed: 7}
"""

SPACE = "x=interval(0.0,1.0)"
TRIALS = "SELECT trial_id, state FROM trials ORDER BY number"


@pytest.fixture
def sweep(place: Place) -> Place:
    place.write("src/sweep.py", SWEEP)
    place.write("src/conf/config.yaml", CONFIG)
    return place


def optuna_sql(place: Place, query: str, *values: Any) -> list[Any]:
    return place.sql(query, *values, file="logs/optuna.db")


def states(place: Place) -> list[str]:
    return [state for _, state in optuna_sql(place, TRIALS)]


def kill_at(place: Place, process: Any, trials: int) -> None:
    """Kill the driver with -9 while it is at that many trials' last."""
    seen = 0
    for line in process.stdout:
        seen += line.startswith("TRIAL")
        if seen == trials:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def trial_runs(place: Place) -> list[str]:
    rows = place.sql("SELECT DISTINCT run_uuid FROM tags WHERE key = 'remote.overrides'")
    return [run for (run,) in rows]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_sweep_goes_on(sweep: Place, jobs: int) -> None:
    """With three at a time, one trial of the batch has ended and was not told to Optuna."""
    sweep.write("src/sweep.py", LOGGED)
    words = [SPACE, "-m", f"hydra.sweeper.n_jobs={jobs}"]
    kill_at(sweep, sweep.start(sweep.job("src/sweep.py", "pause=0.4", *words)), 5)
    left = states(sweep)
    assert left.count("COMPLETE") == (4 if jobs == 1 else 3)
    assert left.count("RUNNING") == (1 if jobs == 1 else 3)
    params = optuna_sql(sweep, "SELECT param_value FROM trial_params ORDER BY trial_id")
    before = trial_runs(sweep)
    assert len(before) == 5

    again = sweep.job("src/sweep.py", "pause=0.4", *words)
    said = sweep.run(again)
    assert f"{left.count('COMPLETE')} of 6 trials were done before; going on" in said
    assert states(sweep) == ["COMPLETE"] * 6
    values = optuna_sql(sweep, "SELECT param_value FROM trial_params ORDER BY trial_id")
    assert values[: len(params)] == params and len(set(values)) == 6
    runs = trial_runs(sweep)
    assert len(runs) == 6 and set(before) < set(runs)
    statuses = sweep.statuses()
    assert [statuses[run] for run in runs] == ["FINISHED"] * 6
    told = sorted(float(sweep.values("params", run)["x"]) for run in runs)
    assert told == pytest.approx(sorted(value for (value,) in values))
    # What goes on belongs to the job that goes on with it.
    assert len(sweep.children("f1")) + len(sweep.children("f2")) == 6
    assert len(sweep.children("f2")) == 6 - left.count("COMPLETE")
    names = [sweep.values("tags", run)["mlflow.runName"] for run in runs]
    assert len(set(names)) == 6, names

    done = sweep.run(sweep.job("src/sweep.py", "pause=0.4", *words))
    assert "has its 6 trials (best " in done and "hydra.sweeper.n_trials=12" in done
    assert "TRIAL" not in done and len(trial_runs(sweep)) == 6
    more = sweep.run(sweep.job("src/sweep.py", "pause=0.4", *words, "hydra.sweeper.n_trials=7"))
    assert "6 of 7 trials were done before" in more and more.count("TRIAL") == 1


def test_a_failed_trial_counts_and_another_study_is_another(sweep: Place) -> None:
    words = [
        "x=choice(1,2)",
        "-m",
        "hydra/sweeper/sampler=grid",
        "hydra.sweeper.max_failure_rate=1",
    ]
    said = sweep.run(sweep.job("src/sweep.py", "bad=1", *words))
    assert said.count("TRIAL") == 2 and sorted(states(sweep)) == ["COMPLETE", "FAIL"]
    again = sweep.run(sweep.job("src/sweep.py", "bad=1", *words))
    assert "has its 2 trials (best 2.89)" in again
    named = sweep.job("src/sweep.py", "bad=1", *words, "hydra.sweeper.study_name=mine")
    assert sweep.run(named).count("TRIAL") == 2
    names = [name for (name,) in optuna_sql(sweep, "SELECT study_name FROM studies")]
    assert len(names) == 2 and names[0].startswith("train-") and names[1] == "mine"


def test_a_storage_of_the_users_own(sweep: Place) -> None:
    words = [SPACE, "-m", "hydra.sweeper.storage='sqlite:///logs/my.db'", "pause=0.4"]
    kill_at(sweep, sweep.start(sweep.job("src/sweep.py", *words)), 3)
    said = sweep.run(sweep.job("src/sweep.py", *words))
    assert "2 of 6 trials were done before" in said
    assert sweep.sql("SELECT DISTINCT state FROM trials", file="logs/my.db") == [("COMPLETE",)]
    assert not (sweep.root / "logs/optuna.db").exists() and len(trial_runs(sweep)) == 6
    lost = [*words[:2], "hydra.sweeper.storage='sqlite:///my.db'", "hydra.sweeper.n_trials=1"]
    assert "To keep it, put it below logs/" in sweep.run(sweep.job("src/sweep.py", *lost))


def test_trials_of_a_living_job_are_left_alone(sweep: Place) -> None:
    words = [SPACE, "-m", "hydra.sweeper.study_name=both"]
    first = sweep.start(sweep.job("src/sweep.py", "pause=30", *words))
    until((sweep.root / "logs/both.lock").exists)
    until(lambda: _has_trial(sweep))
    said = sweep.run(sweep.job("src/sweep.py", *words, "hydra.sweeper.n_trials=2"))
    assert "another job works on study both" in said and said.count("TRIAL") == 1
    assert states(sweep)[0] == "RUNNING"
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def _has_trial(place: Place) -> bool:
    try:
        return bool(states(place))
    except Exception:
        return False


def test_several_gpus_try_as_many_at_once(sweep: Place) -> None:
    """Killed in the second batch of three, it goes on with just that batch."""
    sweep.gpus = "GPU-a,GPU-b,GPU-c"
    words = [SPACE, "-m", "pause=1"]
    kill_at(sweep, sweep.start(sweep.job("src/sweep.py", *words)), 4)
    said = sweep.run(sweep.job("src/sweep.py", *words))
    assert said.count("is launching 3 jobs") == 1 and states(sweep) == ["COMPLETE"] * 6
    runs = trial_runs(sweep)
    assert len(runs) == 6 and {sweep.statuses()[run] for run in runs} == {"FINISHED"}


def test_several_objectives(sweep: Place) -> None:
    directions = "hydra.sweeper.direction=[minimize,maximize]"
    sweep.write("src/sweep.py", SWEEP.replace("return", "return 1.0,"))
    words = [SPACE, "-m", directions, "hydra.sweeper.n_trials=2"]
    sweep.run(sweep.job("src/sweep.py", *words))
    for run in trial_runs(sweep):
        assert set(sweep.values("latest_metrics", run)) == {"objective_0", "objective_1"}
    assert "has its 2 trials. More: " in sweep.run(sweep.job("src/sweep.py", *words))


def test_the_sample_is_such_a_sweep(place: Place) -> None:
    sample = ("src/model/model02/train.py", "config/model/model02/config.yaml")
    for name in (*sample, "src/lib/digits.py"):
        place.write(name, (ROOT / name).read_text("utf-8"))
    words = ["-m", "learning_rate=interval(0.001,0.1)", "epochs=1", "hydra.sweeper.n_trials=3"]
    paths = place.job("model.model02.train", *words, kind="module")
    place.run(paths)
    runs = place.children("f1")
    assert states(place) == ["COMPLETE"] * 3 and len(runs) == 3
    for run in runs:
        found = place.values("latest_metrics", run)
        assert found["objective"] == found["accuracy"] > 0.05
        assert place.values("params", run)["epochs"] == "1"


@dataclass
class Trial:
    params: dict[str, Any]
    user_attrs: dict[str, Any] = field(default_factory=dict)


def runs_with(*overrides: str) -> list[TrialRun]:
    return [TrialRun(f"r{number}", each.split()) for number, each in enumerate(overrides)]


@pytest.mark.parametrize(
    ("runs", "left", "done", "found"),
    [
        ("a=1|a=2", [{"a": 2}], [{"a": 1}], ["r1"]),
        # Alike: the oldest have ended.
        ("a=1|a=1|a=1", [{"a": 1}], [{"a": 1}, {"a": 1}], ["r2"]),
        ("a=1|a=1|a=1", [{"a": 1}, {"a": 1}], [{"a": 1}], ["r1", "r2"]),
        # Its run was never begun.
        ("a=1", [{"a": 1}], [{"a": 1}], []),
        ("a=1", [{"a": 2}], [], []),
        # It was killed before all its parameters were chosen.
        ("a=1 b=2", [{"a": 1}], [], []),
        ("a=1", [{}], [], []),
        ("", [{"a": 1}], [], []),
    ],
)
def test_which_runs_interrupted_trials_had(runs, left, done, found) -> None:
    trials = [Trial(params) for params in left]
    assert (
        optuna_study.runs_of(runs_with(*runs.split("|")), trials, [Trial(p) for p in done]) == found
    )


def test_fixed_overrides_belong_to_a_trial_too() -> None:
    run = TrialRun("r", ["a=1", "pause=2", "~gone"])
    assert optuna_study.runs_of([run], [Trial({"a": 1}, {"pause": "2"})], []) == ["r"]
    assert optuna_study.runs_of([run], [Trial({"a": 1}, {"pause": "3"})], []) == []
    deleted = TrialRun("r", ["a=1"], deleted=True)
    assert optuna_study.runs_of([deleted], [Trial({"a": 1})], []) == []


class Sweeper:
    def __init__(self, **params: str) -> None:
        self.params = params


def named(*words: str, source: str = "a.py", name: str = "train", **params: str) -> str:
    from omegaconf import OmegaConf

    asked = JobSpec("script", source, name, arguments=tuple(words))
    return optuna_study.study_name(asked, OmegaConf.create({"params": params}))


def test_the_same_search_has_the_same_name() -> None:
    plain = named("x=1,2", "-m")
    how = ["--multirun", "hydra.sweeper.n_trials=40", "hydra.sweeper.n_jobs=3"]
    how += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "++hydra.launcher.verbose=1"]
    assert named("x=1,2", *how) == plain == named("-m", "x=1,2")
    others = [named("x=1,3"), named("x=1,2", source="b.py"), named("x=1,2", y="range(3)")]
    others += [named("x=1,2", "hydra.sweeper.direction=maximize"), named("x=1,2", "more=1")]
    assert len({plain, *others}) == 6
    assert plain.startswith("train-") and len(plain) == len("train-") + 8
    assert named(name="../x y").startswith("x-y-")


def test_a_lock_file_stays_in_the_logs(tmp_path: Path) -> None:
    class Job:
        code = tmp_path

    assert optuna_study.hold(Job(), "../../e vil\n")  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["-..-e-vil-.lock"]
    with open(tmp_path / "logs/-..-e-vil-.lock") as file, pytest.raises(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert "logs" in links()
