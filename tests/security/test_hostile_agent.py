"""A server whose agent answers what it likes: each field is refused, or harmless where it is shown."""

from __future__ import annotations

import asyncio
import tracemalloc
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote import session
from remote.errors import ProtocolError, RemoteError
from remote.job.messages.base import FRAME
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.records import DeltaRequest
from remote.job.paths import CLAIMS
from remote.job.struct import Struct
from remote.operations.jobs.run_options import LabOptions, ServiceOptions, ShellOptions
from remote.operations.tracking.pull_records import FetchedDelta
from remote.rpc.client import Agent, AgentBug
from remote.rpc.wire import SshWire
from remote.tasks import jobs, prune, records, run, server, sync
from remote.tracking import delta
from remote.transport import process
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd
from tests.security.hostile import (
    EVIL,
    LIVELY,
    HostileAgent,
    HostileWire,
    answer_classes,
    fits,
    framed,
    full,
    leaves_of,
    requests,
)
from tests.waiting import until

#: The fields that take any text, by the class that has them. They are printed through
#: remote.output, compared, or sent back. A new field stands here, or has a pattern.
FREE = {
    "AccountAnswer": "diff",
    "ArtifactsAnswer": "closed",
    "Change": "name before after",
    "DeltaAnswer": "root unpulled others outside outputs marks fault moved",
    "DifferencesAnswer": "code",
    "ExamineAnswer": "host user python rsync tmux uv root home index gpus driver gpu_fault mlflow"
    " revision store_fault",
    "ExperimentLink": "last_name base_name",
    "Failure": "message hint",
    "Git": "branch",
    "Gpu": "driver fault node",
    "GpuHolder": "user",
    "GpuProcess": "user name",
    "GpusAnswer": "cuda",
    "Job": "root host secrets",
    "JobSpec": "source name parameters defaults arguments cwd env tags experiment output gpu_model"
    " environment_source entry_point folder logdir after notify python extras leases user project"
    " target interpreter setup sbatch",
    "JobStatus": "host waiting driver cuda result cause",
    "JobSummary": "name source experiment user after unpulled asked parameters cwd variables",
    "LeasedGpu": "name",
    "LogAnswer": "text",
    "Metric": "key",
    "Notice": "words",
    "OverviewAnswer": "gpu_fault",
    "PrepareAnswer": "root",
    "ProcessId": "start boot",
    "PruneAnswer": "environments backups remarks",
    "RefusedRecord": "kind id reason",
    "SecretAnswer": "names",
    "Shortage": "folder",
    "StoppedJob": "problem",
    "SubmitAnswer": "problem pushed_by",
    "TakeAnswer": "changed left_out obstacle",
    "WaitingJob": "user",
}


def fields_of(classes: list[type[Struct]]) -> Iterator[tuple[str, str, Any]]:
    """Class that has it, name and field, of every field of these classes."""
    for cls in classes:
        for name, field in cls.fields.items():
            bases = [base for base in cls.__mro__ if name in getattr(base, "fields", {})]
            yield bases[-1].__name__, name, field


def deep(levels: int) -> Any:
    return [] if levels == 0 else [deep(levels - 1)]


#: What fits nowhere, or nowhere but in a user's own parameters.
MISFITS: list[Any] = [
    float("nan"),
    float("inf"),
    2**70,
    -(2**70),
    10**4000,
    deep(60),
    {"a": deep(60)},
]


def test_a_field_that_takes_any_text_is_named_here() -> None:
    free: dict[str, set[str]] = {}
    for owner, name, field in fields_of(answer_classes()):
        if any(fits(leaf, LIVELY) for leaf in leaves_of(field)):
            free.setdefault(owner, set()).add(name)
    assert free == {owner: set(names.split()) for owner, names in FREE.items()}


@pytest.mark.parametrize("cls", answer_classes(), ids=lambda cls: cls.__name__)
def test_numbers_and_depths_have_limits(cls: type[Struct]) -> None:
    for _, name, field in fields_of([cls]):
        for leaf in leaves_of(field):
            any_json = fits(leaf, 2**70)
            assert not any(
                fits(leaf, value) for value in (MISFITS[5:] if any_json else MISFITS)
            ), name


@pytest.mark.parametrize("cls", answer_classes(), ids=lambda cls: cls.__name__)
def test_a_value_of_another_type_is_refused_by_the_fields_name(cls: type[Struct]) -> None:
    good = full(cls, "a")
    for _, name, field in fields_of([cls]):
        for value in (None, "", EVIL, 1, -1, 1.5, True, [], {}, [None], {"": None}, *MISFITS):
            if fits(field, value) or value == field.default:
                continue
            with pytest.raises(ProtocolError) as caught:
                cls.from_json({**good, name: value}, "answer")
            assert caught.value.message.startswith(f"answer.{name}")
            assert caught.value.message.isprintable() and len(caught.value.message) < 300


#: The commands that read an answer.
COMMANDS: dict[str, Callable[[], Any]] = {
    "doctor": lambda: server.doctor(Context()),
    "mlflow-pull": lambda: records.mlflow_pull(Context()),
    "remote-attach": lambda: jobs.remote_attach(Context()),
    "remote-code": lambda: jobs.remote_code(Context(), job="a"),
    "remote-diff": lambda: jobs.remote_diff(Context(), before="a"),
    "remote-fetch": lambda: jobs.remote_fetch(Context()),
    "remote-gpus": lambda: server.remote_gpus(Context()),
    "remote-gpus --json": lambda: server.remote_gpus(Context(), json=True),
    "remote-lab": lambda: run.remote_lab(Context(), options=LabOptions()),
    "remote-lab --bring": lambda: run.remote_lab(Context(), options=LabOptions(bring=True)),
    "remote-lab --stop": lambda: run.remote_lab(Context(), options=LabOptions(stop=True)),
    "remote-logs --follow": lambda: jobs.remote_logs(Context(), follow=True),
    "remote-logs": lambda: jobs.remote_logs(Context()),
    "remote-prune": lambda: prune.remote_prune(Context()),
    "remote-ps": lambda: jobs.remote_ps(Context()),
    "remote-ps --json": lambda: jobs.remote_ps(Context(), json=True),
    "remote-ps JOB": lambda: jobs.remote_ps(Context(), job="a"),
    "remote-rerun": lambda: run.remote_rerun(Context(), job="a"),
    "remote-rm": lambda: prune.remote_rm(Context(), job="a"),
    "remote-run": lambda: run.remote_run(Context(), shell="true"),
    "remote-shell": lambda: run.remote_shell(Context(), options=ShellOptions(background=True)),
    "remote-secrets": lambda: server.remote_secrets(Context()),
    "remote-stop": lambda: jobs.remote_stop(Context()),
    "remote-ui": lambda: run.remote_ui(Context(), options=ServiceOptions()),
    "remote-wait": lambda: jobs.remote_wait(Context()),
    "sync-pull": lambda: sync.sync_pull(Context()),
    "sync-push": lambda: sync.sync_push(Context()),
}


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostileAgent:
    """The agent of a project's target, which the project has pushed to before."""
    hostile, project = HostileAgent(tmp_path / "agent"), tmp_path / "project"
    for folder in (hostile.folder, project / "src", tmp_path / "target/data"):
        folder.mkdir(parents=True)
    (project / "requirements.txt").touch()
    monkeypatch.chdir(project)
    monkeypatch.setenv("TARGET_DIR", str(tmp_path / "target"))
    monkeypatch.setattr(session, "LocalWire", lambda: HostileWire(hostile.folder))
    made = sync.server_of("")
    made.remember(ours=True)
    for claim in CLAIMS:
        (tmp_path / "target/.remote" / claim / session.project_id(made.project)).mkdir(parents=True)
    return hostile


def outcome(command: str) -> tuple[int, str]:
    """How a command ends: its exit code, and the error."""
    try:
        COMMANDS[command]()
    except Exit as exit:
        return exit.code, exit.message or ""
    return 0, ""


def is_harmless(text: str) -> bool:
    return all(
        char in "\n\t" or char.isprintable() or unicodedata.category(char) == "Zs" for char in text
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_a_server_says_is_shown_escaped(
    agent: HostileAgent, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, request in requests().items():
        agent.answers(verb, full(request.answer, EVIL))
    _, error = outcome(command)
    shown = capsys.readouterr()
    out = shown.out
    if "logs" in command:
        # Lines, and what joins letters, are a log's own.
        out = out.replace("\r\nforged line", "").replace("\u200b", "")
    assert is_harmless(out + shown.err + error) and "\nforged line" not in out + shown.err


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"sync-push"}))
def test_an_error_of_the_agents_is_shown_escaped_and_has_an_end(
    agent: HostileAgent, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in requests():
        message = EVIL + "\n" * 30_000
        agent.answers(verb, {"error": {"kind": "JobError", "message": message, "hint": EVIL}})
    code, error = outcome(command)
    shown = capsys.readouterr()
    assert code != 0 and is_harmless(shown.out + shown.err + error)
    assert len(error) < 10_000 and (shown.out + shown.err + error).count("\n") < 60


@pytest.mark.parametrize("is_error", [False, True])
def test_the_dashboard_shows_whatever_a_server_says_escaped(
    agent: HostileAgent, is_error: bool
) -> None:
    from remote.operations.watched_servers import WatchedServers
    from remote.tasks.dashboard.app import Dashboard
    from tests.tasks.dashboard.screens import text_of

    error = {"error": {"kind": "JobError", "message": EVIL * 1000, "hint": EVIL}}
    answer = full(requests()["overview"].answer, EVIL)
    agent.answers("overview", error if is_error else answer)
    watched = WatchedServers([sync.server_of("")])

    async def shown() -> str:
        dashboard = Dashboard(watched)
        async with dashboard.run_test(size=(120, 40)) as pilot:
            while not watched.replies:
                await pilot.pause(0.05)
            await pilot.pause(0.5)
            return text_of(dashboard)

    text = asyncio.run(shown())
    assert is_harmless(text) and r"\x1b[2J" in text and "\nforged line" not in text
    assert ("no answer" in text) is is_error


def test_a_bug_of_the_agents_is_shown_escaped(agent: HostileAgent) -> None:
    agent.answers("jobs", {"bug": EVIL})
    with pytest.raises(AgentBug) as caught:
        COMMANDS["remote-ps"]()
    assert is_harmless(str(caught.value))


#: Answers that the protocol's classes refuse, or that are none: the command, the verb, what is said
#: in its place, and a word of the error.
WRONG: list[tuple[str, str, Any, str]] = [
    ("remote-ui", "service", {"socket": "/tmp/x-${AWS_SECRET_ACCESS_KEY}-%u"}, "address.socket"),
    ("remote-ui", "service", {"socket": "/tmp/remote-serve-${HF_TOKEN}/socket"}, "address.socket"),
    ("remote-ui", "service", {"socket": "/tmp/remote-serve-a/../../x/socket"}, "address.socket"),
    ("remote-ui", "service", {"path": "@evil.example/phish"}, "address.path"),
    ("remote-ui", "service", {"path": "/\r\nSet-Cookie: a=b"}, "address.path"),
    ("remote-ui", "service", {"path": "/?a=b#c"}, "address.path"),
    ("remote-ui", "service", {"token": "a&b"}, "address.token"),
    ("remote-ui", "service", {"port": 70_000}, "address.port"),
    ("remote-lab --bring", "saved", {"files": {"../x.ipynb": "ab"}}, "files"),
    ("remote-lab --bring", "saved", {"files": {"/etc/x.ipynb": "ab"}}, "files"),
    ("remote-lab --bring", "saved", {"files": {"a\0.ipynb": "ab"}}, "files"),
    ("remote-lab --bring", "saved", {"files": {"\ud800.ipynb": "ab"}}, "files"),
    ("remote-lab --bring", "saved", {"files": {"src//x.ipynb": "ab"}}, "files"),
    ("remote-fetch", "unpulled", {"id": "../../x", "files": {}}, "id"),
    ("remote-fetch", "unpulled", {"id": "a", "files": {"a/../../x": 1}}, "files"),
    ("remote-fetch", "unpulled", {"id": "a", "files": {"a\0": 1}}, "files"),
    ("remote-fetch", "unpulled", {"id": "a", "files": {"a": -1}}, "files"),
    ("remote-attach", "attach", {"id": "a", "argv": ["'; reboot; '"]}, "argv"),
    ("remote-ps", "jobs", {"jobs": [], "now": float("nan")}, "now"),
    ("remote-ps", "jobs", {"jobs": [], "now": 2**70}, "now"),
    ("remote-ps", "jobs", {"jobs": {}, "now": 1}, "jobs"),
    (
        "remote-ps",
        "jobs",
        {"jobs": [{"state": "lost", "id": "a", "ended": 1e300}], "now": 1},
        "ended",
    ),
    ("remote-ps", "jobs", [1], "an object is expected"),
    ("remote-wait", "log", {"id": "a", "offset": 2**70}, "offset"),
    # Of 256 the exit code of this process would be 0.
    (
        "remote-wait",
        "log",
        {"id": "a", "offset": 1, "status": {"state": "failed", "exit_code": 256}},
        "exit_code",
    ),
    ("remote-wait", "log", {"id": "a", "offset": 1, "text": "x" * 70_000}, "text"),
    (
        "sync-pull",
        "delta",
        {"root": "/", "others": dict.fromkeys(map(str, range(20_000)))},
        "others",
    ),
    ("sync-pull", "delta", {"root": "/", "empty": False, "size": 1 << 60}, "size"),
    ("sync-pull", "delta", {"root": "/", "ended": ["../x"]}, "ended"),
    ("sync-pull", "delta", {"root": "/", "outputs": {"data/results": "elsewhere"}}, "outputs"),
    ("remote-run", "submit", {}, "no job"),
    ("remote-run", "submit", {"id": "$(x)"}, "id"),
    (
        "remote-run",
        "submit",
        {"need": "uv", "platform": {"system": "x", "machine": "; x"}},
        "machine",
    ),
    (
        "remote-diff",
        "differences",
        {"ids": [], "asked": [{"name": "a", "before": deep(900)}]},
        "asked",
    ),
]


@pytest.mark.parametrize(("command", "verb", "answer", "word"), WRONG)
def test_what_does_not_fit_ends_the_command_in_a_line_that_names_it(
    agent: HostileAgent, command: str, verb: str, answer: Any, word: str, tmp_path: Path
) -> None:
    agent.answers("prepare", {"state": "ours", "root": str(tmp_path / "target")})
    agent.answers("log", full(requests()["log"].answer, "a"))
    if verb == "service":
        document = full(requests()[verb].answer, "a")
        document["address"] = {**document["address"], **answer}
        answer = document
    agent.answers(verb, answer)
    before = files_in(tmp_path)
    code, error = outcome(command)
    assert code != 0 and word in error
    assert error.count("\n") < 2 and len(error) < 400 and error.replace("\n", "").isprintable()
    assert files_in(tmp_path) == before


def files_in(folder: Path) -> dict[str, int]:
    """What lies there and when it was written, but for the server's and the toolkit's own."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not {".remote", "agent", "target", ".cache"} & {*path.parts}
    }


#: Shell code that says what has no end, or too much of it, and a word of the error.
FRAME_WORDS = framed(b"")[: -len(b" 0 0\n")].decode()
ENDLESS = [
    ("yes", "before it answers"),
    ("yes | tr -d '\\n'", "before it answers"),
    (f"yes '{FRAME_WORDS} 1' | tr -d '\\n'", "before it answers"),
    # In the place of the shell: nothing else ends what writes into a file.
    ("exec yes >&2", "wrote more than"),
    (f"printf '{FRAME_WORDS} 999999999999 0\\n'; yes", "announces an answer"),
    (f"printf '{FRAME_WORDS} 30000000 0\\n'; yes", "no JSON"),
    (f"printf '{FRAME_WORDS} 1000000 0\\n'; yes '[' | tr -d '\\n'", "no JSON"),
    (
        f"printf '{FRAME_WORDS} 22 999999999999999999\\n'; printf '{{\"jobs\": [], \"now\": 1}}'; yes",
        "requested",
    ),
    (f'while printf \'{FRAME_WORDS} 22 0\\n{{"jobs": [], "now": 1}}\'; do :; done', "twice"),
    (f"printf '{FRAME_WORDS} 22 0\\n{{\"jobs\":'", "gave no answer"),
    (f"printf '{FRAME_WORDS} 5 0\\n1e999'", "an object is expected"),
    (f'printf \'{FRAME_WORDS} 32 0\\n{{"now":1,"jobs":[],"now":"noon"}}\'', "now"),
    (f"printf '{FRAME_WORDS} 3 0\\n\\377\\376\\377'", "no JSON"),
]


@pytest.mark.parametrize(("script", "word"), ENDLESS)
def test_what_has_no_end_is_ended_and_takes_no_memory(
    agent: HostileAgent, script: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LONGEST_ERRORS", 4 << 20)
    agent.runs("jobs", script)
    tracemalloc.start()
    try:
        code, error = outcome("remote-ps")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code == 2 and word in error and error.count("\n") < 2 and len(error) < 400
    assert peak < 128 << 20


def delta_answer(size: int) -> dict[str, Any]:
    return {"root": "/", "empty": False, "size": size}


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize(
    ("announced", "sent", "word"),
    [
        (1000, bytes(40 << 20), "more records than"),
        (1000, bytes(1001), "more records than"),
        (1000, bytes(999), "1 bytes short"),
        (0, b"x", "more records than"),
        (60 << 30, b"x", "short|free on this machine"),
    ],
)
def test_no_more_is_unpacked_than_was_announced(
    agent: HostileAgent,
    announced: int,
    sent: bytes,
    word: str,
    is_packed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent.answers("delta", delta_answer(announced), zlib.compress(sent) if is_packed else sent)
    request = DeltaRequest(key="0" * 16, known={}, compress=is_packed)
    file = tmp_path / "delta.db"
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match=word):
            FetchedDelta(sync.server_of(""), request, file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert file.stat().st_size <= 1000 and peak < 8 << 20


def test_what_can_not_be_unpacked_is_no_delta(agent: HostileAgent, tmp_path: Path) -> None:
    agent.answers("delta", delta_answer(7), b"garbage")
    request = DeltaRequest(key="0" * 16, known={}, compress=True)
    with pytest.raises(ProtocolError, match="records can't be unpacked"):
        FetchedDelta(sync.server_of(""), request, tmp_path / "delta.db")


def test_what_no_delta_is_ends_the_pull(agent: HostileAgent) -> None:
    agent.answers("delta", delta_answer(7), zlib.compress(b"garbage"))
    code, error = outcome("sync-pull")
    assert code == 2 and error.count("\n") < 2
    agent.answers("delta", delta_answer(7), b"garbage")
    assert outcome("mlflow-pull")[0] == 2


def test_a_delta_with_a_schema_of_its_own_is_refused(agent: HostileAgent, tmp_path: Path) -> None:
    file = tmp_path / "hostile.db"
    with delta.new_delta(file) as database:
        database.execute("CREATE TABLE tags (key, value, run_uuid TEXT COLLATE NOCASE)")
    content = file.read_bytes()
    agent.answers("delta", delta_answer(len(content)), content)
    for task in ("sync-pull", "mlflow-pull"):
        code, error = outcome(task)
        assert code == 2 and "'tags' in them is no plain table" in error, error


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("while True: os.write(1, b'x' * 60_000)", "before it answers"),
        ("while True: os.write(2, b'x' * 60_000)", "wrote more than"),
        ("os.close(1)\nwhile True: os.write(2, b'x' * 60_000)", "wrote more than"),
        ("os.write(1, frame + b' 9 0\\n')\nwhile True: os.write(1, b'[[[[[[[[[')", "no JSON"),
    ],
)
def test_over_ssh_it_ends_as_well_and_leaves_no_process(
    sshd: PrivateSshd, code: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "LONGEST_ERRORS", 4 << 20)
    wire = SshWire(Ssh("gpu", str(sshd.config)))
    monkeypatch.setattr(Agent, "name", "agent-hostile.py")
    pid = tmp_path / "pid"
    head = f"import os\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\nframe = {FRAME!r}\n"
    wire.bring("agent-hostile.py", f"{head}{code}\n".encode())
    with pytest.raises(RemoteError, match=word):
        Agent(wire).call(JobsRequest("0" * 16))
    assert until(lambda: not Path(f"/proc/{pid.read_text()}").exists())
