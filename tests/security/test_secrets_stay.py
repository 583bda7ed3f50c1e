"""What never leaves this machine: secrets, in every way that something leaves it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from remote.errors import ConfigError
from remote.operations import git
from remote.secret_files import PUBLIC, SECRETS, any_case, is_secret, may_be_secret
from remote.target import Target
from remote.transport import rsync, rsync_args
from remote.transport.rsync_args import Remote
from remote.transport.rsync_dialect import dialect
from remote.transport.rsync_filters import push_filters
from remote.transport.sent_names import sent_names

#: Of each kind one, in the letters of other systems too.
SECRET = [
    ".env", ".ENV", ".Env.production", ".envrc", ".env-old", "prod.env", "src/PROD.ENV", ".env~",
    "kaggle.json", "Kaggle.JSON", "kaggle.json.bak", "credentials.json", "Credentials-lab.json",
    "application_default_credentials.json", "service-account.json", "gcp_Service_Account-1.json",
    "server.key", "a.KEY", "a.p12", "A.PFX", "a.pem", "a.jks", ".git-credentials", ".npmrc",
    ".pypirc", ".netrc", "_netrc", ".pgpass", ".config/gcloud/x.db", ".CONFIG/GCloud/x",
    ".kube/config", ".docker/config.json", ".aws/credentials", ".ssh/config", ".azure/x",
    ".huggingface/token", "cache/huggingface/token", "cache/huggingface/stored_tokens", ".hf_token",
    "hf_token.txt", ".wandb_api_key", ".streamlit/secrets.toml", "Secrets.toml",
    "terraform.tfstate", "terraform.tfstate.backup", "id_rsa", "ID_RSA", "id_rsa.bak",
    "deep/id_ed25519_work", "a\nb.pem", "日本.pem", "kaggle.json~", ".kaggle.json.swp", "#x.py#",
    ".GIT/config", "sub/.git/HEAD",
]  # fmt: skip
OPEN = [
    ".env.example", "id_rsa.pub", "env", "environment.yml", "keys.py", "key.py", "tokenizer.json",
    "config/gcloud/x", "docker/config.json", "src/credentials/a.py", "src/token/a.py", "pem",
    "monkey", "a.keys", "kube/config", ".dockerignore", ".gitignore", "model.pt", "a.tfvars",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def push(root: Path) -> set[str]:
    """Push by the real rsync, data included; the names of what came."""
    there = root.parent / "there"
    there.mkdir(exist_ok=True)
    remote = Remote(Target("", "", str(there)), None, "k")
    argv = rsync_args.push_argv(
        root, remote, dialect(), project="", stamp="s", delete=True, destination=f"{there}/"
    )
    rsync.run(argv, remote, cwd=root, title="test")
    if (root / "data/processed").is_dir():
        argv = rsync_args.processed_argv(root, remote, dialect(), project="")
        rsync.run(argv, remote, cwd=root, title="test")
    return {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}


def names_by(project: Path, filters: list[str]) -> set[str]:
    """What the real rsync lets through."""
    argv = ["rsync", "-rn", "--out-format=%n", *filters, "./", f"{project.parent}/nowhere/"]
    done = subprocess.run(argv, cwd=project, capture_output=True, check=True)
    return {name for name in os.fsdecode(done.stdout).splitlines() if not name.endswith("/")}


def test_rsync_and_we_read_the_list_alike(project: Path) -> None:
    """Whoever writes a pattern that rsync's and our own reader take differently opens a way."""
    for name in (*SECRET, *OPEN):
        write(project / name)
    assert push(project) == set(OPEN)
    assert sent_names(project, [*SECRET, *OPEN]) == set(OPEN)
    assert [name for name in (*SECRET, *OPEN) if not is_secret(name)] == OPEN


@pytest.mark.parametrize("ignored", ["", "*.csv\n/x\n", "+ *.KEY\n*.csv\n"])
def test_filters_that_compare_less_keep_the_same_here(project: Path, ignored: str) -> None:
    """Random names near to those of secrets, each in a folder of its own."""
    random = Random(ignored)
    (project / ".rsyncignore").write_text(ignored)
    for number in range(1500):
        name = random.choice((*SECRETS, *PUBLIC, *SECRET, *OPEN)).replace("[-_]", "-")
        letters = [random.choice(("", "x", ".y", ".json")) if c in "*?" else c for c in name]
        if random.random() < 0.5:
            place = random.randrange(len(letters))
            letters[place] = random.choice(("", ".", "a", "Y", "_", letters[place] * 2))
        name = "".join(random.choice((letter, letter.upper())) for letter in letters)
        if not {"", ".", ".."} & {*name.split("/")}:
            write(project / str(number) / name)
    quick, plain = (push_filters(project, negates=negates) for negates in (True, False))
    sent = names_by(project, plain)
    assert names_by(project, quick) == sent and 300 < len(sent) < 1200
    assert (quick == plain) == ("+" in ignored)


@pytest.mark.parametrize("pattern", SECRETS)
def test_every_pattern_holds_in_any_case(pattern: str) -> None:
    name = pattern.replace("*", "").replace("?", "p").replace("[-_]", "-")
    assert all(map(is_secret, (name, name.upper(), f"a/{name.title()}", f"{name}/inner")))
    assert any_case(pattern).count("[") >= sum(letter.isalpha() for letter in name) - 1


def test_a_line_lets_one_through_on_purpose(project: Path) -> None:
    for name in ("tests/ca.pem", "b/tests/ca.pem", "other.pem", ".kube/config", "x.key", "a/x.key"):
        write(project / name)
    write(project / ".rsyncignore", "!tests/ca.pem\n!.kube\n! /x.key \n*.log\n")
    expected = {".rsyncignore", "tests/ca.pem", "b/tests/ca.pem", ".kube/config", "x.key"}
    assert push(project) == expected
    assert not is_secret("x.key", ["/x.key"]) and is_secret("a/x.key", ["/x.key"])


@pytest.mark.parametrize(
    "line",
    [
        b"!", b" ! ", b"!\t", b"!\x0b", "!\u00a0".encode(), "!\u3000".encode(), b"!\x00x", b"!/", b"!*",
        b"!*.pem", b"!**", b"![a-z]*", b"!?env", b"!.git", b"!.GIT/", b"!/.git", b"!.aws/credentials",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", [b"%s", b"a\r%s\rb", b"\xef\xbb\xbf%s", b"x\r\n%s\r\n"])
def test_no_line_opens_more_than_a_name(project: Path, line: bytes, around: bytes) -> None:
    (project / ".rsyncignore").write_bytes(around % line)
    for name in (".env", ".git/config", "a.pem", "a.py"):
        write(project / name)
    with pytest.raises(ConfigError, match="line [12]"):
        push(project)


@pytest.mark.parametrize(
    "line",
    [
        b"- !", b"+ !", b"+ .env", b"+ *", b"+ /.ENV", "\uff01".encode(), "a\n\ufeff!".encode(), b"\\!",
        b". .env", b": .env", b"merge .env", b"P .env", b"R .env", b"\xff!", b"!\xe3\x80", b"-! .env",
        b"hide,! x", b"clear", "!.e\u0301nv".encode(),
    ],
)  # fmt: skip
def test_other_spellings_of_rsyncs_rules_open_nothing(project: Path, line: bytes) -> None:
    (project / ".rsyncignore").write_bytes(line + b"\n")
    for name in (".env", ".git/config", "a.pem", "data/results/r", "mlflow.db"):
        write(project / name)
    assert push(project) <= {".rsyncignore"}


def test_processed_data_obeys_the_ignore_file_too(project: Path) -> None:
    for name in ("a.npz", "b.csv", "private/c.npz", "d.key", ".env"):
        write(project / "data/processed" / name)
    write(project / ".rsyncignore", "*.csv\n/data/processed/private/\n")
    assert push(project) == {".rsyncignore", "data/processed/a.npz"}


@pytest.mark.parametrize("link", ["data", "data/processed"])
def test_processed_data_on_another_disk_goes(project: Path, tmp_path: Path, link: str) -> None:
    write(tmp_path / "disk/processed/a.npz")
    (project / link).parent.mkdir(exist_ok=True)
    (project / link).symlink_to(tmp_path / "disk" / ("" if link == "data" else "processed"))
    there = tmp_path / "there/data"
    there.mkdir(parents=True)
    remote = Remote(Target("", "", str(there.parent)), None, "k")
    argv = rsync_args.processed_argv(project, remote, dialect(), project="")
    assert rsync.run(argv, remote, cwd=project, title="").sent == ["data/processed/a.npz"]
    assert (there / "processed/a.npz").is_file() and not there.is_symlink()


# What is not committed: a patch that is sent with a job


@pytest.fixture
def repository(project: Path) -> Path:
    run(project, "init", "-q")
    return project


def run(root: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.quotePath=true"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


def commit(root: Path) -> None:
    run(root, "add", "-A", "-f")
    run(root, "commit", "-q", "-m", "x")


KEPT = [name for name in SECRET if ".git/" not in name.lower()]


@pytest.mark.parametrize("how", ["changed", "removed", "new", "staged", "now a link"])
def test_no_secret_is_in_the_patch(repository: Path, how: str) -> None:
    write(repository / "a.py")
    for name in KEPT if how != "new" else []:
        write(repository / name, "LEAK\n")
    commit(repository)
    write(repository / "a.py", "changed\n")
    for name in KEPT:
        path = repository / name
        if how in ("removed", "now a link"):
            path.unlink()
        if how == "now a link":
            path.symlink_to("LEAK")
        elif how != "removed":
            write(path, "LEAK more\n")
    if how == "staged":
        run(repository, "add", "-A", "-f")
    patch = git.uncommitted(repository)
    assert "LEAK" not in patch and "+changed" in patch
    assert patch.count("# not recorded, a secret: ") == len(KEPT)


def test_nor_is_what_a_push_leaves_here(repository: Path) -> None:
    """Tracked files that the ignore file names, in all of rsync's spellings."""
    rules = [
        "/private/",
        "*.tok",
        "deep/**/x",
        "+ keep.log",
        "*.log",
        "日本*",
        "with space",
        "[ab]9",
    ]
    hidden = [
        "private/deep/k",
        "src/a.tok",
        "deep/1/2/x",
        "drop.log",
        "日本.txt",
        "with space",
        "a9",
    ]
    shown = ["src/private", "keep.log", "deep/y", "c9", "back\\slash", "new\nline", "-rf"]
    (repository / ".rsyncignore").write_text(
        "\r\n".join(["\ufeff" + rules[0], *rules[1:]]), "utf-8"
    )
    for name in (*hidden, *shown):
        write(repository / name, "1\n")
    commit(repository)
    for name in hidden:
        write(repository / name, "LEAK\n")
    (repository / "a9").unlink()
    for name in shown:
        write(repository / name, "SHOWN\n")
    patch = git.uncommitted(repository)
    assert "LEAK" not in patch and patch.count("+SHOWN") == len(shown)
    assert patch.count("# not recorded, no push sends it: ") == len(hidden)


def test_the_patch_of_a_project_below_the_top_obeys_its_own_ignore_file(tmp_path: Path) -> None:
    top, root = tmp_path / "top", tmp_path / "top/pro ject"
    write(root / "private/k", "1\n")
    write(root / "a.py", "1\n")
    write(root / ".rsyncignore", "/private/\n!ca.pem\n")
    write(root / "ca.pem", "1\n")
    run(top, "init", "-q")
    commit(top)
    for name in ("private/k", "a.py", "ca.pem"):
        write(root / name, f"of {name}\n")
    patch = git.uncommitted(root)
    assert "+of a.py" in patch and "+of ca.pem" in patch and "+of private" not in patch


def test_a_submodule_keeps_its_secrets(repository: Path) -> None:
    write(repository / "sub/.env", "1\n")
    write(repository / "sub/b.key", "1\n")
    run(repository / "sub", "init", "-q")
    commit(repository / "sub")
    run(repository, "add", "sub")
    commit(repository)
    for name in (".env", "b.key", "C.PEM"):
        write(repository / "sub" / name, "LEAK\n")
    patch = git.uncommitted(repository)
    assert "LEAK" not in patch and patch.count("a secret: sub/") == 3


# Names that may be those of secrets


@pytest.mark.parametrize(
    "name",
    [
        "my_token.txt", "TOKEN", "api-key.json", "apikey", "conf/api_keys.yaml", "db_password.txt",
        "secrets/prod.yml", "sa-key.json", "key.json", "deploy_key", "ｔｏｋｅｎ.txt", "パスワード.txt",
        "ハ\u309aスワート\u3099.txt", "ﾊﾟｽﾜｰﾄﾞ.txt", "passwd", "aws cred.ini", "credentials.yaml",
    ],
)  # fmt: skip
def test_a_name_that_speaks_of_secrets_is_known(name: str) -> None:
    assert may_be_secret(name)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "secretary.csv", "a.py", "keyboard.json", "monkey.json", "accredit"]
)
def test_others_are_not(name: str) -> None:
    assert not may_be_secret(name)


def test_what_is_public_is_named_by_a_pattern_of_secrets() -> None:
    """Else it would have no business in that list."""
    assert all(is_secret(name.replace("*", "rsa") + "x") for name in PUBLIC)
    assert os.path.commonprefix(PUBLIC) == ""
