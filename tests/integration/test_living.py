"""Living with jobs of any kind: what they are asked, how they end, what is kept, what may go."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import INV
from tests.integration.farm import Farm, farm_in, resident_farm
from tests.integration.terminal import inv_in_terminal
from tests.stores import empty_store
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("farm")


@pytest.fixture(scope="module")
def shared_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with resident_farm(tmp_path_factory.mktemp("living"), gpus=0) as made:
        yield made


@pytest.fixture
def farm(shared_farm: Farm) -> Farm:
    """A server without GPUs, whose jobs have ended."""
    shared_farm.gate.unlink(missing_ok=True)
    return shared_farm


@pytest.fixture
def new_farm(tmp_path: Path) -> Iterator[Farm]:
    """One that has had no job: for who counts them, or changes the project's settings."""
    with farm_in(tmp_path, gpus=0) as made:
        yield made


def run(farm: Farm, *words: str, code: int = 0) -> str:
    """Run a job to its end; its id comes back."""
    done = farm.project.inv("remote-run", "--follow", *words, check=False)
    assert done.code == code, done.text
    return done.out.splitlines()[0]


# What runs


def test_scripts_modules_and_commands(farm: Farm) -> None:
    farm.project.write("src/lib/__init__.py", "")
    farm.project.write("src/lib/say.py", "import sys\nprint('said', sys.argv[1:])\n")
    farm.project.write("tools/go.sh", 'echo "went $1"\n')
    words = ["--", "-m", "lr=interval(0.001,0.002)", "it's $HOME", "--", "日本", ""]
    shown = f"said {words[1:]!r}"
    assert shown in farm.log(run(farm, "src/lib/say.py", *words))
    assert shown in farm.log(run(farm, "lib.say", *words))
    assert "went there" in farm.log(run(farm, "tools/go.sh", "--", "there"))
    assert "a-b" in farm.log(run(farm, "--shell", "echo a | sed 's/$/-b/'"))
    job = run(farm, "--name", "Ünder way!", "--", "echo", "two  words", "*")
    assert "two  words *" in farm.log(job) and "-Under-way-" in job


def test_only_one_thing_can_run(farm: Farm) -> None:
    for words in (["--shell", "true", "--", "true"], []):
        done = farm.project.inv("remote-run", *words, check=False)
        assert done.code == 2 and len(done.err.strip().splitlines()) <= 2, done.text


def test_a_program_that_is_not_there(farm: Farm) -> None:
    job = run(farm, "--", "no-such-program", code=127)
    assert "no-such-program" in farm.log(job)


# What is asked


def test_variables_and_their_hostile_values(farm: Farm) -> None:
    value = "a b'\"$(touch pwned)\n=日本"
    job = run(farm, "--env", f"MINE={value}", "--env", "EMPTY=", "--", "sh", "-c", 'echo "[$MINE]"')
    assert f"[{value}]" in farm.log(job)
    assert not list(farm.root.rglob("pwned"))
    for wrong in ("NOVALUE", "=x", "1A=x", "A-B=x"):
        done = farm.project.inv("remote-run", "--env", wrong, "--", "true", check=False)
        assert done.code == 2 and wrong in done.err


def test_a_time_limit(farm: Farm) -> None:
    job = run(farm, "--timeout", "1s", "--", "sleep", "60", code=124)
    status = farm.status(job)
    assert (status["state"], status["reason"]) == ("failed", "timeout")
    assert "timeout after 1 s" in farm.project.inv("remote-ps").out


def test_retries(farm: Farm) -> None:
    script = (
        "echo try; [ $(ls tries* 2>/dev/null | wc -l) -ge 2 ] || { mktemp tries.XXXX; exit 3; }"
    )
    job = run(farm, "--retries", "4", "--", "sh", "-c", script)
    assert farm.status(job)["attempt"] == 3 and farm.log(job).count("\ntry") + 1 >= 3
    job = run(farm, "--retries", "1", "--", "false", code=1)
    assert farm.status(job)["attempt"] == 2


def test_one_after_the_other(farm: Farm) -> None:
    first = farm.submit(f"{farm.wait}; echo first > data/processed/x")
    second = farm.submit("cat data/processed/x", "--after", first)
    third = farm.submit("true", "--after", "last")
    assert f"waiting for {first}" in farm.project.inv("remote-ps").out
    farm.open_gate()
    farm.until(third, "finished")
    assert "first" in farm.log(second)
    farm.close_gate()
    bad = farm.submit(f"{farm.wait}; exit 1")
    never = farm.submit("echo ran", "--after", bad)
    farm.open_gate()
    status = farm.until(never, "failed")
    assert bad in status["cause"] and "ran\n" not in farm.log(never)
    refused = farm.project.inv("remote-run", "--after", bad, "--", "true", check=False)
    assert refused.code == 2 and "failed" in refused.err


def test_a_command_at_the_end(farm: Farm) -> None:
    said = 'echo "$REMOTE_JOB_NAME $REMOTE_JOB_STATE $REMOTE_JOB_EXIT_CODE" > told'
    run(farm, "--name", "mine", "--notify", said, "--", "sh", "-c", "exit 7", code=7)
    until((farm.root / "told").exists)
    until(lambda: (farm.root / "told").read_text(), lambda text: text == "mine failed 7\n")


# How they end


def test_a_signal_is_named(farm: Farm) -> None:
    job = run(farm, "--", "sh", "-c", "kill -SEGV $$", code=139)
    assert farm.status(job)["cause"] == "killed by SIGSEGV"


def test_gpu_memory_that_runs_out_is_told(farm: Farm) -> None:
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    job = run(farm, "--", "sh", "-c", f"echo '{words}' >&2; exit 1", code=1)
    assert farm.status(job)["reason"] == "oom-gpu"
    assert "out of GPU memory" in farm.project.inv("remote-ps").out


def test_peak_memory_is_noted(farm: Farm) -> None:
    python = "import time; x = bytearray(200_000_000); time.sleep(2.5)"
    job = run(farm, "--", sys.executable, "-c", python)
    assert 200e6 < farm.status(job)["peak_memory"] < 400e6


def test_waiting_gives_the_jobs_exit_code(farm: Farm) -> None:
    job = farm.submit(f"{farm.wait}; exit 5")
    threading.Timer(1, farm.open_gate).start()
    done = farm.project.inv("remote-wait", job, check=False)
    assert done.code == 5 and "failed" in done.err
    assert farm.project.inv("remote-wait", farm.submit("true")).out.endswith("finished\n")


def test_stopping_ends_the_whole_group(farm: Farm) -> None:
    job = farm.submit("setsid nohup sleep 471 & sleep 472 & echo up; wait")
    until(lambda: "up" in farm.log(job))
    farm.project.inv("remote-stop", job)
    left = subprocess.run(["ps", "-axo", "args="], capture_output=True, text=True).stdout
    assert "sleep 471" not in left and "sleep 472" not in left


def test_without_a_name_only_a_single_job_is_stopped(farm: Farm) -> None:
    refused = farm.project.inv("remote-stop", check=False)
    assert refused.code == 2 and "No job is running" in refused.err
    first, second = farm.submit("sleep 600"), farm.submit("sleep 600")
    refused = farm.project.inv("remote-stop", check=False)
    assert refused.code == 2 and first in refused.err and second in refused.err
    farm.project.inv("remote-stop", first)
    assert f"{second} stopped" in farm.project.inv("remote-stop").out


# Looking


def test_logs_since(farm: Farm) -> None:
    job = farm.submit("echo old; sleep 7; echo new; sleep 600")
    until(lambda: "new" in farm.log(job))
    times, begin = farm.file(job, "log.times"), farm.log(job).index("new")
    until(lambda: times.read_text().split()[-1] == str(begin))
    # As if the first of it had been written half an hour before.
    *earlier, last = times.read_text().splitlines()
    past = [f"{float(written) - 1800} {size}" for written, size in map(str.split, earlier)]
    times.write_text("\n".join([*past, last, ""]))
    said = farm.project.inv("remote-logs", job, "--since", "10m").out
    assert "new" in said and "old" not in said
    assert "old" in farm.project.inv("remote-logs", job, "--since", "1h").out
    farm.project.inv("remote-stop", job)


def test_watching_draws_anew(farm: Farm) -> None:
    job = farm.submit("sleep 600")
    with inv_in_terminal(farm.project, "remote-ps", "--watch") as terminal:
        terminal.until(b"running")
        assert job[16:].encode() in terminal.seen, "by the end of its id"
        terminal.seen = b""
        terminal.until(b"\x1b[H")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    farm.project.inv("remote-stop", job)


#: A job that logs a loss, and writes a result, each time that it is let through the next gate.
STEPS = """
import os, pathlib, sqlite3, sys, time
store = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"][len("sqlite:///") :])
[(run,)], gates = store.execute("SELECT run_uuid FROM runs").fetchall(), pathlib.Path(sys.argv[1])
for step in range(2):
    row = ("loss", 0.5 - step / 4, 1000 + step, run, step, False)
    with store:
        store.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " VALUES (?, ?, ?, ?, ?, ?)", row)
    pathlib.Path(f"data/results/step{step}").write_text(f"{step}")
    while not (gates / f"gate{step}").exists():
        time.sleep(0.05)
"""


def test_a_watched_pull_follows_a_job_until_ctrl_c(new_farm: Farm, folder: Path) -> None:
    new_farm.project.write("src/steps.py", STEPS)
    gates, said, here = new_farm.gate.parent, folder / "pulls", new_farm.project.root
    job = new_farm.project.inv("remote-run", "src/steps.py", "--", str(gates)).out.split()[-1]

    def runs() -> list[tuple[str, float]]:
        """Of each run that is here: its status, and its newest loss."""
        rows = "SELECT status, (SELECT value FROM metrics m WHERE key = 'loss' AND"
        rows += " m.run_uuid = runs.run_uuid ORDER BY step DESC LIMIT 1) FROM runs"
        with contextlib.suppress(sqlite3.OperationalError):
            with closing(sqlite3.connect(f"file:{here}/mlflow.db?mode=ro", uri=True)) as store:
                return store.execute(rows).fetchall()
        return []

    def following(state: str, loss: float) -> bool:
        assert process.poll() is None, said.read_text()
        return runs() == [(state, loss)]

    new_farm.until(job, "running")
    empty_store(here)
    with open(said, "wb") as out:
        words, env = [str(INV), "sync-pull", "--watch", "1"], {**os.environ, **new_farm.project.env}
        process = subprocess.Popen(words, cwd=here, env=env, stdout=out, stderr=out)
    try:
        until(lambda: following("RUNNING", 0.5))
        (gates / "gate0").touch()
        until(lambda: following("RUNNING", 0.25) and (here / "data/results/step1").exists())
        (gates / "gate1").touch()
        until(lambda: following("FINISHED", 0.25))
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    told = said.read_text().splitlines()
    assert code == 130 and told[-1] == "Stopped: the next pull continues from here.", told
    pulls = [line for line in told if line.startswith("pulled from")]
    assert "1 new run, 0 grown" in pulls[0] and len(pulls) > 1, told
    assert not [line for line in pulls if "0 files, 0 new runs, 0 grown, 0 artifacts" in line]
    assert new_farm.project.inv("mlflow-check").code == 0
    assert " 0 new runs" in new_farm.project.inv("sync-pull").out


def test_attaching_shows_the_log_and_ctrl_c_there_hurts_nobody(farm: Farm) -> None:
    job = farm.submit("while true; do echo tick; sleep 0.2; done")
    # The server has never heard of this kind of terminal.
    with inv_in_terminal(farm.project, "remote-attach", job, TERM="xterm-of-2099") as terminal:
        terminal.until(b"tick")
        terminal.type(b"\x03")
        time.sleep(0.5)
        assert terminal.end(keys=b"\x02d") == 0
    assert farm.status(job)["state"] == "running"
    farm.project.inv("remote-stop", job)
    refused = farm.project.inv("remote-attach", job, check=False)
    assert refused.code == 2 and "stopped" in refused.err


def test_a_shell_is_gone_back_to_and_ends_with_its_last_window(tmp_path: Path) -> None:
    """With a lease, in the target's own tree, and with the variables of a job."""
    with farm_in(tmp_path, gpus=1) as farm:
        use_a_shell(farm)


def use_a_shell(farm: Farm) -> None:
    there = farm.root / "told"
    with inv_in_terminal(farm.project, "remote-shell", "--gpus", "1", SHELL="/bin/sh") as terminal:
        # Its target is new: what it needs is brought first.
        terminal.until(b"\x1b[?1049h", seconds=120)
        terminal.type(b"echo $REMOTE_JOB_ID $CUDA_VISIBLE_DEVICES > told\r")
        until(lambda: there.exists() and there.read_text().strip())
        assert terminal.end(keys=b"\x02d") == 0
    job, gpu = there.read_text().split()
    assert gpu == farm.gpus.uuids()[0] and farm.status(job)["state"] == "running"
    refused = farm.project.inv("remote-shell", "--background", "--gpus", "2", check=False)
    assert refused.code == 2 and "is running already, with gpus 1" in refused.err
    with inv_in_terminal(farm.project, "remote-shell") as terminal:
        terminal.until(b"\x1b[?1049h")
        # Without what the line has: a key that tmux took for pasted, on a busy machine, stands there.
        terminal.type(b"\x15exit\r")
        assert terminal.end() == 0
    assert farm.until(job, "finished")["exit_code"] == 0
    assert not farm.file(job, "serving.json").exists()


def test_a_command_in_the_place_of_a_shell_leaves_its_words_and_its_exit_code(farm: Farm) -> None:
    script = 'read line; echo "$line" > said; seq 60; echo the end; kill -9 $$'
    words = ("remote-shell", "--background", "--", "sh", "-c", script)
    job = farm.project.inv(*words).out.splitlines()[-1]
    with inv_in_terminal(farm.project, "remote-shell") as terminal:
        terminal.until(b"\x1b[?1049h")
        terminal.type(b"continue\r")
        assert terminal.end() == 137
    # After the terminal that was its own, what it left there is on this one.
    left = terminal.seen.rpartition(b"\x1b[?1049l")[2]
    assert b"59\r\n60\r\nthe end" in left and b"\r\n9\r\n" not in left
    assert farm.until(job, "failed")["exit_code"] == 137
    assert (farm.root / "said").read_text() == "continue\n"
    refused = farm.project.inv("remote-shell", check=False)
    assert refused.code == 2 and "needs a terminal" in refused.err
    # One that ends before anybody could attach to it.
    with inv_in_terminal(
        farm.project, "remote-shell", "--", "sh", "-c", "seq 60; exit 7"
    ) as at_once:
        assert at_once.end() == 7
    assert b"59\r\n60\r\n" in at_once.seen.rpartition(b"\x1b[?1049l")[2]


# What may go


def test_only_what_was_pulled_is_removed(new_farm: Farm) -> None:
    job = run(new_farm, "--", "echo", "hello")
    refused = new_farm.project.inv("remote-rm", job, check=False)
    assert refused.code == 2 and "not pulled" in refused.err and new_farm.file(job, "log").exists()
    new_farm.project.inv("sync-pull")
    assert "freed" in new_farm.project.inv("remote-rm", job).out
    assert not new_farm.file(job, "log").exists()
    other = run(new_farm, "--", "true")
    new_farm.project.inv("remote-rm", other, "--force")
    assert other not in new_farm.project.inv("remote-ps", "--all").out
    running = new_farm.submit("sleep 600")
    refused = new_farm.project.inv("remote-rm", running, "--force", check=False)
    assert refused.code == 2 and "remote-stop" in refused.err
    new_farm.project.inv("remote-stop", running)


def test_what_a_job_wrote_elsewhere_is_told_kept_and_fetched(new_farm: Farm) -> None:
    new_farm.project.write("config.json", "{}")
    new_farm.project.write("pyproject.toml", '[tool.remote]\noutputs = ["saved", "model.pkl"]\n')
    line = (
        "mkdir -p out __pycache__ data/06 && echo weights > out/ckpt.pt && echo [1] > config.json"
        " && echo m > model.pkl && echo s > saved/a.pt && echo x > __pycache__/y && echo d > data/06/d"
    )
    job = run(new_farm, "--shell", line)
    told = "config.json, data/06/d (3 files, 14 B)"
    assert f"out/ckpt.pt, {told}" in new_farm.log(
        job
    ) and f"inv remote-fetch {job}" in new_farm.log(job)
    assert f"out/ckpt.pt, {told}" in new_farm.project.inv("remote-ps", job).out
    pulled = new_farm.project.inv("sync-pull")
    assert told in pulled.err and f"inv remote-fetch {job}" in pulled.err
    assert (new_farm.project.root / "model.pkl").read_text() == "m\n"
    assert (new_farm.project.root / "saved/a.pt").read_text() == "s\n"
    # The next job finds what the one before has left in its outputs.
    assert "m" in new_farm.log(run(new_farm, "--no-record", "--", "cat", "model.pkl", "saved/a.pt"))
    assert told not in new_farm.project.inv("sync-pull").err
    refused = new_farm.project.inv("remote-rm", job, check=False)
    assert refused.code == 2 and f"inv remote-fetch {job}" in refused.err
    pruned = new_farm.project.inv("remote-prune", "--older", "1s")
    assert f"kept {job}" in pruned.err and "--force" in pruned.err
    fetched = new_farm.project.inv("remote-fetch", job, "out", "*.json")
    folder = new_farm.project.root / "data/results/fetched" / job
    assert (
        "2 files" in fetched.out and str(folder.relative_to(new_farm.project.root)) in fetched.out
    )
    assert (folder / "out/ckpt.pt").read_text() == "weights\n"
    assert (new_farm.project.root / "config.json").read_text() == "{}"
    assert "freed" in new_farm.project.inv("remote-rm", job).out


def aged(farm: Farm, job: str, ago: float) -> str:
    """The id of a job that was made one of long ago, on both sides."""
    name = time.strftime("%Y%m%d-%H%M%S", time.localtime(ago)) + job[15:]
    status = {**farm.status(job), "ended": ago}
    farm.file(job, "status.json").write_text(json.dumps(status))
    folder = farm.file(job, "log").parent.rename(farm.file(name, "log").parent)
    os.utime(folder, (ago, ago))
    for pulled in farm.project.root.glob(".remote/targets/*.pulled.json"):
        pulled.write_text(pulled.read_text().replace(job, name))
    return name


def test_pruning_keeps_what_is_young_or_not_pulled(new_farm: Farm) -> None:
    old, young = run(new_farm, "--", "true"), run(new_farm, "--", "true")
    new_farm.project.inv("sync-pull")
    kept = run(new_farm, "--", "true")
    ago = time.time() - 40 * 86400
    old, kept = aged(new_farm, old, ago), aged(new_farm, kept, ago)
    spare = new_farm.root / ".remote/envs/0123456789abcdef"
    spare.mkdir(parents=True)
    (spare / ".complete").touch()
    os.utime(spare / ".complete", (ago, ago))
    would = new_farm.project.inv("remote-prune", "--dry-run")
    assert f"would remove job {old}" in would.out and kept not in would.out
    with inv_in_terminal(new_farm.project, "remote-prune") as terminal:
        terminal.until(b"[y/N]")
        assert f"would remove job {old}".encode() in terminal.seen
        terminal.type(b"n\n")
        assert terminal.end() == 1 and b"Nothing was changed" in terminal.seen
    assert new_farm.file(old, "log").exists()
    done = new_farm.project.inv("remote-prune", "--older", "30d")
    assert f"removed job {old}" in done.out and "1 job of that age kept" in done.err
    assert not new_farm.file(old, "log").exists() and not spare.exists()
    assert new_farm.file(young, "log").exists() and new_farm.file(kept, "log").exists()
    # The environment that jobs use now is still there.
    run(new_farm, "--", "true")


# How a result came to be


def test_a_job_runs_again_exactly(farm: Farm, tmp_path: Path) -> None:
    farm.project.write("src/version.txt", "one\n")
    # It writes into its own code, and beside it.
    script = 'cat src/version.txt; echo "[$MINE]"; ls; echo changed | tee -a src/version.txt > new'
    first = run(farm, "--env", "MINE=it's", "--", "sh", "-c", script)
    farm.project.write("src/version.txt", "two\n")
    farm.project.inv("sync-push")
    again = farm.project.inv("remote-rerun", first, "--follow")
    assert "one\n" in again.out and "[it's]" in again.out
    own = [line for line in again.out.splitlines() if not line.startswith("[remote]")]
    assert not {"two", "changed", "new"} & set(own)
    elsewhere = str(tmp_path / "elsewhere" / "proj")
    there = farm.project.inv("remote-rerun", first, "--on", elsewhere, "--follow")
    assert "one\n" in there.out and "[it's]" in there.out
    own = [line for line in there.out.splitlines() if not line.startswith("[remote]")]
    assert not {"changed", "new"} & set(own)
    job = there.out.splitlines()[0]
    told = json.loads((Path(elsewhere) / ".remote/jobs" / job / "job.json").read_text())
    assert told["tags"]["remote.rerun_of"] == first
    assert not list(Path(elsewhere, ".remote").glob("incoming-*"))


def test_a_job_runs_again_behind_the_links_of_each_target(farm: Farm, tmp_path: Path) -> None:
    """In data and elsewhere: each target has what it is asked for, and no code brings another's."""
    disks = [tmp_path / "disk one", tmp_path / "disk two"]
    for disk in disks:
        for name in ("big", "weights"):
            (disk / name).mkdir(parents=True)
            (disk / name / "x").write_text(f"{name} of {disk.name}\n")
    targets = [tmp_path / "server" / name / "proj" for name in ("one", "two")]
    client = farm.client(tmp_path / "linked", targets[0])
    tables = (
        f'[tool.remote.targets.{target.parent.name}]\ndir = "{target}"\n'
        f'links = {{"data/big" = "{disk}/big", "models/weights" = "{disk}/weights"}}\n'
        for target, disk in zip(targets, disks)
    )
    client.write("pyproject.toml", "\n".join(tables))
    client.write("models/m.py", "m\n")
    script = "cat models/m.py data/big/x models/weights/x"
    words = ("remote-run", "--target", "one", "--follow", "--", "sh", "-c", script)
    first = client.inv(*words).out
    assert "m\nbig of disk one\nweights of disk one\n" in first
    client.inv("sync-push", "--target", "two")
    words = ("remote-rerun", first.splitlines()[0], "--target", "one", "--on", "two", "--follow")
    assert "m\nbig of disk two\nweights of disk two\n" in client.inv(*words).out
    assert sorted(path.name for path in (disks[1] / "weights").iterdir()) == ["x"]


def test_what_differs_between_two_jobs(new_farm: Farm) -> None:
    new_farm.project.write("src/a.py", "print(1)\nsame\n")
    first = run(new_farm, "--env", "K=1", "--", "true")
    same = run(new_farm, "--env", "K=1", "--", "true")
    assert "nothing differs" in new_farm.project.inv("remote-diff", first, same).out
    new_farm.project.write("src/a.py", "print(22)\nsame\n")
    new_farm.project.write("requirements.lock", "# a comment is another lock file\n")
    second = run(new_farm, "--env", "K=2", "--", "true")
    said = new_farm.project.inv("remote-diff", first, second).out
    assert "env.K: 1 -> 2" in said and "-print(1)" in said and "+print(22)" in said
    assert re.search(r"environment: \w+ -> \w+", said)


def test_git_is_recorded_with_what_is_not_committed(new_farm: Farm) -> None:
    git = ["git", "-C", str(new_farm.project.root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    new_farm.project.write("src/a.txt", "committed\n")
    new_farm.project.write(".gitignore", ".remote/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    new_farm.project.write("src/a.txt", "changed\n")
    new_farm.project.write("src/new.txt", "new\n")
    job = run(new_farm, "--", "true")
    diff = new_farm.file(job, "uncommitted.diff").read_text()
    assert "+changed" in diff and "src/new.txt" in diff
    assert json.loads(new_farm.file(job, "job.json").read_text())["git"]["dirty"] is True


# Secrets


def test_a_secret_reaches_jobs_and_nothing_else(farm: Farm) -> None:
    value = "s3cret'\"$(x) 日本"
    env = {**os.environ, **farm.project.env}
    argv = [str(INV), "remote-secrets", "API_KEY"]
    subprocess.run(argv, cwd=farm.project.root, env=env, input=value + "\n", text=True, check=True)
    assert farm.project.inv("remote-secrets").out == "API_KEY\n"
    kept = farm.root / ".remote/secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    job = run(farm, "--", "sh", "-c", '[ "$API_KEY" = "$WANTED" ]; echo same: $?', "--")
    assert "same: 1" in farm.log(job)
    job = run(farm, "--env", f"WANTED={value}", "--", "sh", "-c", 'test "$API_KEY" = "$WANTED"')
    assert json.loads(farm.file(job, "job.json").read_text())["secrets"] == ["API_KEY"]
    job = run(farm, "--", "true")
    farm.project.inv("sync-pull")
    for place in (farm.file(job, "log").parent, farm.project.root / "data"):
        for path in place.rglob("*"):
            assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    farm.project.inv("remote-secrets", "API_KEY", "--forget")
    assert b"s3cret" not in kept.read_bytes()
    refused = farm.project.inv("remote-secrets", "API_KEY", "--forget", check=False)
    assert refused.code == 2
