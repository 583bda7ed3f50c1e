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
from remote.runtime import optuna_study
from tests.real.venvs import python_with
from tests.runtime.place import ROOT, Place
from tests.waiting import until

SWEEP = """
import os, time
import hydra

@hydra.main(config_path="conf", config_name="config")
def main(config):
    print("TRIAL", repr(config.x), flush=True)
    time.sleep(float(os.environ.get("PAUSE", config.pause)))
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
    assert f"{left.count('COMPLETE')} of 6 trials were done before; continuing" in said
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


def test_a_finished_sweep_says_how_it_goes_on(sweep: Place) -> None:
    words = [SPACE, "-m", "hydra.sweeper.n_jobs=3", "hydra.sweeper.n_trials=3"]
    sweep.run(sweep.job("src/sweep.py", *words))
    done = sweep.run(sweep.job("src/sweep.py", *words))
    assert "has its 3 trials (best " in done and "hydra.sweeper.n_trials=6" in done
    assert "TRIAL" not in done and len(trial_runs(sweep)) == 3
    more = sweep.run(sweep.job("src/sweep.py", *words[:-1], "hydra.sweeper.n_trials=4"))
    assert "3 of 4 trials were done before" in more and more.count("TRIAL") == 1


def test_a_failed_trial_counts(sweep: Place) -> None:
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
    [(name,)] = optuna_sql(sweep, "SELECT study_name FROM studies")
    assert name.startswith("train-")


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
    first = sweep.start(sweep.job("src/sweep.py", *words), PAUSE="30")
    until((sweep.root / "logs/both.lock").exists)
    until(lambda: _has_trial(sweep))
    two = "hydra.sweeper.n_trials=2"
    said = sweep.run(sweep.job("src/sweep.py", *words, two))
    assert "another job works on study both" in said and said.count("TRIAL") == 1
    assert states(sweep)[0] == "RUNNING"
    assert optuna_sql(sweep, "SELECT study_name FROM studies") == [("both",)]
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
    words = ["-m", "learning_rate=interval(0.001,0.1)", "epochs=1", "hydra.sweeper.n_trials=2"]
    paths = place.job("model.model02.train", *words, kind="module")
    place.run(paths)
    runs = place.children("f1")
    assert states(place) == ["COMPLETE"] * 2 and len(runs) == 2
    for run in runs:
        found = place.values("latest_metrics", run)
        assert found["objective"] == found["accuracy"] > 0.05
        assert place.values("params", run)["epochs"] == "1"


#: Hydra's own example (plugins/hydra_optuna_sweeper/example).
SPHERE = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def sphere(cfg):
    print("TRIAL")
    return cfg.x**2 + cfg.y**2

if __name__ == "__main__":
    sphere()
"""

SPHERE_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: tpe
hydra:
  sweeper:
    sampler:
      seed: 123
    direction: minimize
    study_name: sphere
    storage: null
    n_trials: 5
    n_jobs: 1
    params:
      x: range(-5.5, 5.5, step=0.5)
      y: choice(-5 ,0 ,5)
x: 1
y: 1
z: 1
"""

OTHER = ("x=range(100,105)", "y=1")


def swept(place: Place, *words: str) -> tuple[str, int]:
    """What a sweep of the sphere said, and how many trials it ran."""
    said = place.run(place.job("sphere.py", "-m", *words))
    return said, said.count("TRIAL\n")


def test_a_study_that_the_configuration_keeps_in_memory_is_hydras_own(place: Place) -> None:
    place.write("sphere.py", SPHERE)
    place.write("conf/config.yaml", SPHERE_CONFIG)
    for words, best in ((), "4.0"), (OTHER, "10202.0"):
        said, count = swept(place, *words)
        assert count == 5 and f"Best value: {best}" in said and "isn't kept" in said
    assert not (place.root / "logs/optuna.db").exists()
    assert len(place.children("f1")) == len(place.children("f2")) == 5
    # Where the user says both, what is there goes on by as many more, whatever has changed.
    mine = ("hydra.sweeper.storage='sqlite:///logs/my.db'", "hydra.sweeper.n_trials=2")
    assert [swept(place, *mine)[1], swept(place, "z=2", *mine)[1]] == [2, 2]
    assert place.sql("SELECT COUNT(*) FROM trials", file="logs/my.db") == [(4,)]


def test_a_changed_sweep_is_a_new_study_that_says_what_changed(place: Place) -> None:
    place.write("sphere.py", SPHERE)
    place.write("conf/config.yaml", SPHERE_CONFIG.replace("    storage: null\n", ""))
    other = ("x=choice(100)", "y=1")
    few = "hydra.sweeper.n_trials=2"
    said, count = swept(place, few)
    assert count == 2 and "is a new study" not in said and "Study name: sphere\n" in said
    said, count = swept(place, few, *other)
    assert count == 2 and "is a new study: the search space" in said and "Best value: 10001" in said
    assert "inv remote-diff 20260101-090001-train-aaaa 20260101-090002-train-aaaa" in said
    place.write("sphere.py", SPHERE.replace("return cfg.x**2", "return 7000 + cfg.x**2"))
    said, count = swept(place, few, *other)
    assert count == 2 and "the code changed since 20260101-090002" in said
    assert "Best value: 17001.0" in said
    said, count = swept(place, few, *other)
    assert count == 0 and "has its 2 trials (best 17001)" in said
    names = [name for (name,) in optuna_sql(place, "SELECT study_name FROM studies")]
    assert names[0] == "sphere" and len(names) == 3
    assert all(name.startswith("sphere-") for name in names[1:])


@pytest.mark.parametrize("sweeper", ["basic", "optuna hydra/sweeper/sampler=grid"])
def test_a_grid_runs_its_combinations_once_each(sweep: Place, sweeper: str) -> None:
    chosen = f"hydra/sweeper={sweeper}".split()
    sweep.write("src/conf/config.yaml", "x: 0.5\npause: 0.0\nbad: none\n")
    words = ["x=1,2", "pause=0.2,0.3", "-m", *chosen]
    kill_at(sweep, sweep.start(sweep.job("src/sweep.py", *words)), 3)
    said = sweep.run(sweep.job("src/sweep.py", *words))
    assert said.count("TRIAL") == 2 and "continuing" in said and "2 of 4" in said
    runs = trial_runs(sweep)
    assert [sweep.statuses()[run] for run in runs] == ["FINISHED"] * 4
    combinations = {tuple(sorted(sweep.values("params", run).items())) for run in runs}
    assert len(combinations) == 4
    again = sweep.run(sweep.job("src/sweep.py", *words))
    # Hydra's own sweeper keeps nothing of a sweep that is done.
    assert again.count("TRIAL") == (4 if sweeper == "basic" else 0)


@pytest.mark.slow
def test_hydra_1_3_sweeps_as_without_a_job(place: Place) -> None:
    place.python = str(python_with("hydra-1.3"))
    place.write("sphere.py", SPHERE)
    place.write("conf/config.yaml", SPHERE_CONFIG.replace("    storage: null\n", ""))
    said, count = swept(place)
    assert count == 5 and "Best value: 6.25" in said and "raised" not in said
    assert len([line for line in said.splitlines() if line.startswith("[remote]")]) == 1
    assert "Optuna 2.10.1 keeps no study here" in said and "may break the project" in said
    assert len(place.children("f1")) == 5
    place.write("conf/config.yaml", "x: 1\ny: 1\n")
    said, count = swept(place, "x=1,2")
    assert count == 2 and "[remote]" not in said


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


def test_a_lock_file_stays_in_the_logs(tmp_path: Path) -> None:
    class Job:
        code = tmp_path

    assert optuna_study.hold(Job(), "../../e vil\n")  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["-..-e-vil-.lock"]
    with open(tmp_path / "logs/-..-e-vil-.lock") as file, pytest.raises(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert "logs" in links()
