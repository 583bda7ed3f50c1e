"""Targets by name: what belongs to each, and what of pyproject.toml is refused, by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConfigError
from remote.target import Target

TABLES = """
[tool.remote]
outputs = ["ckpt"]
extras = ["torch"]
setup = ["module load cuda"]
image = "x.sif"
proxy = "laptop"
[tool.remote.targets]
gpu1 = "ada@gpu1:/proj/"
here = "./there"
[tool.remote.targets.cluster]
dir = "login:proj"
launcher = "slurm"
torch-backend = "cu124"
python = "conda:lab"
setup = []
sbatch = ["--partition=gpu"]
gpus = 2
gpus-exclude = ["0", "GPU-6c0f"]
cpus = 4
links = {"data/imagenet" = "/datasets/imagenet"}
[tool.remote.targets.cluster-login]
dir = "login:./proj"
[tool.remote.groups]
lab = ["gpu1", "cluster", "gpu1"]
"""


def project(root: Path, tables: str = TABLES, **settings: str) -> Project:
    (root / "pyproject.toml").write_text(tables)
    return Project(root, settings)


def test_a_name_is_its_address_with_what_belongs_to_it(tmp_path: Path) -> None:
    lab = project(tmp_path, TARGET_DIR="cluster")
    target = lab.target()
    assert (str(target), target.name) == ("login:proj", "cluster")
    settings = lab.target_settings(target)
    assert (settings.launcher, settings.gpus) == ("slurm", 2)
    assert (settings.gpus_exclude, settings.cpus) == (("0", "GPU-6c0f"), 4)
    assert (settings.torch_backend, settings.sbatch) == ("cu124", ("--partition=gpu",))
    assert settings.links == {"data/imagenet": "/datasets/imagenet"}
    # Its own goes before what holds for all, key by key.
    assert (settings.extras, settings.setup, settings.proxy) == (("torch",), (), "laptop")


def test_who_names_one_environment_means_no_part_of_another(tmp_path: Path) -> None:
    lab = project(tmp_path)
    own = lab.target_settings(lab.target("cluster"))
    assert (own.environment, own.python, own.image) == ("python", "conda:lab", "")
    others = lab.target_settings(lab.target("gpu1"))
    assert (others.environment, others.image) == ("container", "x.sif")


def test_an_address_has_the_settings_of_the_target_at_that_place(tmp_path: Path) -> None:
    lab = project(tmp_path)
    assert lab.target("gpu1").key == lab.target("ada@gpu1:/proj").key
    assert lab.target_settings(Target.parse("login:~/proj/")).launcher == "slurm"
    assert lab.target_settings(Target.parse("other:/x")) == lab.tool.common
    # Two names of one place may differ in the rest.
    assert lab.target_settings(lab.target("cluster-login")).launcher == ""


def test_a_project_without_these_tables_has_defaults(tmp_path: Path) -> None:
    plain = Project(tmp_path, {"TARGET_DIR": "host:/proj"})
    settings = plain.target_settings(plain.target())
    assert settings.gpus is None and settings.to_json() == {}


def test_the_last_target_is_remembered_by_its_name(tmp_path: Path) -> None:
    lab = project(tmp_path)
    lab.remember_target(lab.target("cluster-login"))
    assert lab.target().name == "cluster-login"
    lab.remember_target(Target.parse("host:/proj"))
    assert str(lab.target()) == "host:/proj"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lab", ["gpu1", "cluster"]),
        ("all", ["gpu1", "here", "cluster", "cluster-login"]),
        ("any", ["gpu1", "here", "cluster", "cluster-login"]),
        ("gpu1", ["gpu1"]),
        ("host:/x", [""]),
    ],
)
def test_a_group_is_its_members_each_once(tmp_path: Path, text: str, names: list[str]) -> None:
    lab = project(tmp_path)
    assert [target.name for target in lab.targets(text)] == names
    assert lab.is_pool(text) == (len(names) > 1)


def test_where_one_target_is_needed_a_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lab stands for several.*\n.*gpu1, cluster"):
        project(tmp_path).target("lab")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "There is no target or group 'gpu' in pyproject.toml.\nDid you mean gpu1?"),
        ("lap", "'lap' in pyproject.toml.\nDid you mean lab?"),
        ("zebra", "'zebra' in pyproject.toml.\nThere are gpu1, here, cluster"),
    ],
)
def test_a_name_that_is_no_target_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        project(tmp_path).target(name)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["proj", "all", "any"])
def test_a_bare_word_is_no_folder_here(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        project(tmp_path, "").target(name)
    with pytest.raises(ConfigError, match="no address.*names no targets.\n.*this machine is ./"):
        project(tmp_path, "").targets(name)


WRONG = {
    "[tool.remote]\nlancher = 'tmux'": "tool.remote takes no 'lancher'.\nDid you mean launcher?",
    "[tool.remote]\ndir = 'host:/x'": "tool.remote takes no 'dir'",
    "[tool.remote.targets.a]\ndir = 'h:/x'\nxyz = 1": "tool.remote.targets.a takes no 'xyz'",
    "[tool.remote.targets.a]\ngpus = 1": "tool.remote.targets.a lacks its dir",
    "[tool.remote.targets]\na = 1": "tool.remote.targets.a has to be an address or a table",
    "[tool.remote.targets]\na = 'proj'": "tool.remote.targets.a: 'proj' is no address",
    "[tool.remote.targets]\na = 'ho st:/x'": "tool.remote.targets.a: 'ho st:/x': the host 'ho st'",
    "[tool.remote.targets]\nall = 'h:/x'": "'all' means several targets",
    "[tool.remote.targets]\n'-x' = 'h:/x'": "'-x' looks like no name",
    "[tool.remote.targets]\n'a:b' = 'h:/x'": "'a:b' looks like no name",
    "[tool.remote]\ntargets = 1": "tool.remote.targets has to be a table",
    "[tool]\nremote = 1": "tool.remote has to be a table",
    "[tool.remote]\nsetup = 'x'": "tool.remote.setup: a list is expected, not 'x'",
    "[tool.remote]\nsetup = ['x', 5]": "tool.remote.setup[1]: text is expected, not 5",
    "[tool.remote]\ncpus = 0\ntargets.a = 'h:/x'": "tool.remote.cpus: a whole number",
    "[tool.remote]\nlauncher = 'tmuks'": "launcher: there is no 'tmuks'.\nDid you mean tmux?",
    "[tool.remote]\nenvironment = 'pixi'": "'pixi'.\nThere are uv, conda, python, container",
    "[tool.remote]\ngpus = -1": "tool.remote.gpus: a whole number",
    "[tool.remote]\ntorch-backend = 'a b'": "tool.remote.torch-backend: 'a b' is not of the form",
    "[tool.remote]\nlinks = {'../x' = '/x'}": "tool.remote.links['../x']",
    "[tool.remote]\nlinks = {x = 'y'}": "links['x']: 'y' is not of the form that is expected.\nSuch as: {",
    "[tool.remote]\npython = 'a'\nimage = 'b'": "image and python mean different",
    "[tool.remote]\npython = 'a'\nenvironment = 'uv'": "python and environment mean different",
    "[tool.remote.groups]\na = []": "tool.remote.groups.a has to be a list",
    "[tool.remote.groups]\na = ['b']": "tool.remote.groups.a: there is no target 'b'",
    "[tool.remote]\ntargets = {a = 'h:/x'}\ngroups = {a = ['a']}": "'a' is a target and a group",
    "[tool.remote": "pyproject.toml can't be read",
}


@pytest.mark.parametrize("tables", WRONG)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, tables: str) -> None:
    with pytest.raises(ConfigError) as error:
        project(tmp_path, tables).target_settings(Target.parse("h:/x"))
    assert WRONG[tables] in str(error.value)
