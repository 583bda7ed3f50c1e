"""The documents: their commands run, what they name exists, and their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.job.outputs import paths
from remote.secret_files import SECRETS
from remote.settings import SETTINGS
from scripts.sshd import PrivateSshd
from tests.conftest import ROOT, SOCKET, make_project
from tests.integration.notebooks import notebook
from tests.integration.reader import Reader, Unknown, blocks, commands, existing_commands
from tests.integration.witness import Store
from tests.stores import empty_store

ENGLISH = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
JAPANESE = sorted((ROOT / "docs/ja").glob("*.md"))
DOCUMENTS = [*ENGLISH, *JAPANESE]
TEXTS = [*DOCUMENTS, ROOT / "CHANGELOG.md"]

#: Pipelines have commands of their own.
PIPELINES = sorted((ROOT / "pipelines").glob("*/Makefile"))

#: What the README's reader reads next, with the same project and server.
CONTINUED = ("quickstart.md", "notebooks.md", "troubleshooting.md", "own-tasks.md", "howto.md")

#: Their readers have the extras: the files named in tests/research/test_docs.py type them.
WITH_EXTRAS = (
    "adopt.md",
    "checkpoints.md",
    "containers.md",
    "experiments.md",
    "lab.md",
    "pipeline.md",
    "task-classes.md",
    "template.md",
    "workbench.md",
)

#: Its commands are compared with MCP's tools: tests/integration/test_mcp.py types them.
TYPED_BESIDE_MCP = "agents.md"


#: In the place of the template's programs, which take ten seconds to import what they learn with: tests
#: of their own train them (test_demo.py, research/test_hydra.py). These take the same words.
NOTEBOOK = notebook(
    "print(epoch, batch_size)",
    parameters="epoch: int = 20  # passes\nbatch_size: int = 32  # images for each step",
)
SCRIPT = """
from pathlib import Path
import hydra
CONFIG = Path(__file__).resolve().parents[3] / "config/model/model02"
@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config):
    return config.epochs * config.learning_rate
if __name__ == "__main__":
    main()
"""


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


# What stands in a document ----------------------------------------------------------------------


def code(text: str) -> str:
    """All that is set as code, in blocks and within lines."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", rest)])


def named_commands(text: str) -> set[str]:
    """`make x` and `inv y` for each that is named in code."""
    found = re.findall(r"\b(make|inv)[ \t]+(?:-C \S+ |-[^ \t\n]*[ \t]+)*([a-z][\w-]*)", code(text))
    return {f"{program} {name}" for program, name in found}


def own_tasks(text: str) -> set[str]:
    """The tasks that the document's own Python adds."""
    added = "\n".join(blocks(text, "python"))
    return {f"inv {name}" for name in re.findall(r"^@task\ndef (\w+)\(", added, re.MULTILINE)}


def headings(text: str) -> list[str]:
    bare = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ .*$", bare, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What a link to a heading says after its `#`."""
    titles = (heading.lstrip("#").strip().lower() for heading in headings(text))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def dead_links(text: str, folder: Path) -> list[str]:
    """The relative links of a text in `folder` that lead nowhere, pictures of either kind too."""
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\bsrc(?:set)?="([^"]+)"', text)
    return [link for link in links if not _leads(link, text, folder)]


def _leads(link: str, text: str, folder: Path) -> bool:
    if re.match(r"https://", link):
        return True
    path, _, anchor = link.partition("#")
    place = folder / path
    if path and not place.exists():
        return False
    return not anchor or anchor in anchors(place.read_text("utf-8") if path else text)


@pytest.fixture
def reader(tmp_path: Path, sshd: PrivateSshd, request: pytest.FixtureRequest) -> Iterator[Reader]:
    """A reader with a fresh copy of the project and a target that isn't there yet."""
    project = make_project(
        tmp_path / "project", REMOTE_SSH_CONFIG=str(sshd.config), REMOTE_TMUX_SOCKET=SOCKET
    )
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", project.root / "src", dirs_exist_ok=True, ignore=skipped)
    shutil.copytree(ROOT / "config", project.root / "config", ignore=skipped)
    project.write("src/notebooks/train.ipynb", NOTEBOOK)
    project.write("src/model/model02/train.py", SCRIPT)
    shutil.copy(ROOT / ".env.example", project.root)
    (project.root / ".venv/bin").mkdir()
    for program in Path(sys.executable).parent.iterdir():
        (project.root / ".venv/bin" / program.name).symlink_to(program)
    yield Reader(project, sshd, f"documents-{abs(hash(request.node.nodeid)):x}")


def told_once() -> list[Path]:
    """The documents, without those that say the same commands as one before."""
    first: dict[tuple[str, ...], Path] = {}
    for document in DOCUMENTS:
        if document.name in (*WITH_EXTRAS, *CONTINUED, TYPED_BESIDE_MCP):
            continue
        said = tuple(commands(document.read_text("utf-8")))
        if said:
            first.setdefault(said, document)
    return list(first.values())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", told_once(), ids=named)
def test_the_commands_of_the_documents_work(document: Path, reader: Reader) -> None:
    text = document.read_text("utf-8")
    if document.name != "README.md":
        # Its reader has read the README: what that says to do once is done.
        for line in commands((ROOT / "README.md").read_text("utf-8")):
            reader.type(line)
            if line == "make sync-push TARGET_DIR=user@host:/proj":
                break
        empty_store(reader.project.root)
        _type_all(reader, text)
        return
    for path in (document, *(ROOT / "docs" / name for name in CONTINUED)):
        _type_all(reader, path.read_text("utf-8"))
    _assert_the_loop_was_closed(reader)


def _type_all(reader: Reader, text: str) -> None:
    with open(reader.project.root / "tasks.py", "a", encoding="utf-8") as tasks:
        tasks.write("\n\n" + "\n\n".join(blocks(text, "python")))
    for line in commands(text):
        reader.type(line)


def _assert_the_loop_was_closed(reader: Reader) -> None:
    """The run of the server and the run of this machine are in the one local store."""
    root = reader.project.root
    runs = Store(root / "mlflow.db").runs()
    there = [run for run in runs if run.tags["remote.target"] == f"gpu:{reader.folder}"]
    here = [run for run in runs if run not in there]
    assert [run.params["batch_size"] for run in there] == ["32"]
    assert [run.params["batch_size"] for run in here] == ["8"]
    assert {run.status for run in runs} == {"FINISHED"}
    assert {run.params["epoch"] for run in runs} == {"2"}
    names = [path.name for path in (root / "data/results/notebooks").glob("*.ipynb")]
    assert sorted(name.split("_")[1] for name in names) == ["result.ipynb", "train.ipynb"]


@pytest.mark.parametrize(
    "line",
    [
        "curl -fsSL example.org",
        "make nothing",
        "make",
        "make run | tee log",
        "ssh other@host ls",
        "rsync -av user@host:/other .",
        "make sync-push && mlflow ui",
        "echo $HOME",
        "mlflow server",
    ],
)
def test_a_command_that_nobody_knows_fails(line: str, reader: Reader) -> None:
    with pytest.raises(Unknown):
        reader.type(line)


def test_a_command_that_fails_is_noticed(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="TARGET_DIR is not set"):
        reader.type("make sync-push")


# What the documents name --------------------------------------------------------------------------


@pytest.mark.parametrize("document", TEXTS, ids=named)
def test_every_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    added = own_tasks((ROOT / "docs/own-tasks.md").read_text("utf-8"))
    known = existing_commands() | existing_commands(*PIPELINES)
    assert named_commands(text) - known - added == set()


@pytest.mark.parametrize("folder", [ROOT / "docs", ROOT / "docs/ja"], ids=named)
def test_the_reference_names_every_command_setting_and_folder(folder: Path) -> None:
    page = {
        name: (folder / f"{name}.md").read_text("utf-8")
        for name in ("commands", "settings", "sync")
    }
    assert existing_commands() - named_commands(page["commands"]) == set()
    examples = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {*examples, *SETTINGS} - set(code(page["settings"]).splitlines()) == set()
    assert {*paths(), *SECRETS} - set(code(page["sync"]).splitlines()) == set()


@pytest.mark.parametrize("document", TEXTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert dead_links(document.read_text("utf-8"), document.parent) == []


@pytest.mark.parametrize("document", ENGLISH, ids=named)
def test_the_japanese_documents_say_the_same(document: Path) -> None:
    english = document.read_text("utf-8")
    japanese = (ROOT / "docs/ja" / document.name).read_text("utf-8")
    for language in ("sh", "python"):
        assert blocks(english, language) == blocks(japanese, language)
    assert len(blocks(english, "text")) == len(blocks(japanese, "text"))
    depths = [heading.count("#") for heading in headings(english)]
    assert depths == [heading.count("#") for heading in headings(japanese)]
    for row in (r"^\| ", r"^- ", r"^\d+\. "):
        count = len(re.findall(row, english, re.MULTILINE))
        assert count == len(re.findall(row, japanese, re.MULTILINE)), row


def test_the_daily_loop_is_four_lines() -> None:
    loop = (
        "make sync-push TARGET_DIR=user@host:/proj\n"
        "inv remote-run train.ipynb --epoch 1000\n"
        "make sync-pull\n"
        "mlflow ui\n"
    )
    assert loop in blocks((ROOT / "README.md").read_text("utf-8"), "sh")


def test_the_version_is_in_the_changelog_and_the_citation() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version and f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version: {version[1]}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


# These checks can fail ----------------------------------------------------------------------------


def test_names_are_found_in_blocks_and_lines_and_nowhere_else() -> None:
    text = "make hay, `make nothing-such`, `inv --help none x`\n```sh\ninv  neither --x\n```\n"
    assert named_commands(text) == {"make nothing-such", "inv none", "inv neither"}


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("## 日本語 & `code`, two\n```sh\n# no heading\n```\n")
    text = "# Title\n[a](other.md) [b](gone.md) [c](#title) [d](#gone) [e](other.md#no-heading)"
    assert dead_links(text, tmp_path) == ["gone.md", "#gone", "other.md#no-heading"]
    assert dead_links("[f](other.md#日本語--code-two) [g](https://x.org/)", tmp_path) == []
    assert dead_links('<source srcset="gone.svg"><img src="other.md">', tmp_path) == ["gone.svg"]
