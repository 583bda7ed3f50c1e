"""Files that act by being where they are: no pull brings them, whoever wrote them there.

They are run or obeyed, unasked, by a prompt, an editor or a tool that looks into the folder, or by
one that is started in it or above it for something else (`inv`, `make`, `git`, `pytest`). What acts
only for who opens it (a notebook, a model) comes, and so does what a program reads that is started
for that very folder: pyproject.toml and .python-version are in models that MLflow logs, and `.pth`,
which acts in site-packages alone, is what PyTorch calls its checkpoints.
"""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate

from remote.secret_files import any_case

#: In small letters; a wildcard stands for any letters.
NAMES = (
    # Version control: its configuration names programs.
    ".git", ".hg", ".jj", ".sl", ".svn", ".bzr", "_darcs", "git~[0-9]",
    # Who enters the folder, or has a prompt look at it.
    ".env", ".envrc", ".direnv", ".autoenv*", ".tool-versions", ".mise", "mise.toml", "mise.*.toml",
    ".mise.toml", ".mise.*.toml",
    # Editors.
    ".vscode", ".idea", ".zed", ".fleet", ".cursor", ".helix", ".vs", ".devcontainer",
    ".devcontainer.json", ".mcp.json", ".exrc", ".vimrc", "_vimrc", ".gvimrc", ".nvimrc",
    ".nvim.lua", ".lvimrc", ".dir-locals*.el",
    # Interpreters and what collects from above.
    "sitecustomize", "sitecustomize.*", "usercustomize", "usercustomize.*", "conftest.py",
    "test_*.py", "*_test.py", ".pdbrc", ".venv", "pyvenv.cfg", "jupyter*_config.py",
    "jupyter*_config.json", "ipython*_config.py", ".rprofile", ".octaverc",
    # Runners of commands.
    "tasks.py", "fabfile.py", "noxfile.py", "dodo.py", "makefile", "gnumakefile", "justfile",
    ".justfile", "taskfile.yml", "taskfile.yaml", "rakefile", ".pre-commit-config.y*ml",
)  # fmt: skip

#: A package of tasks, and with `objects` and `refs` beside it what git takes for a repository.
PACKAGE, HEAD = "tasks/__init__.py", "head"

_PLAIN = frozenset(name for name in NAMES if not re.search(r"[*\[]", name))
_WILD = re.compile("|".join(map(translate, sorted({*NAMES} - _PLAIN))))

#: What HFS+ leaves out of account in a name (git's utf8.c, next_hfs_char).
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


def folded(name: str) -> str:
    """A name as those file systems compare it for which many spellings are one file: in small
    letters, decomposed, without what doesn't show, and without dots and blanks at its end."""
    if name.isascii():
        return name.lower().rstrip(". ")
    text = unicodedata.normalize("NFD", _IGNORED.sub("", name)).casefold()
    return unicodedata.normalize("NFD", text).rstrip(". ")


def acts(path: str, *, is_folder: bool = False) -> bool:
    """Whether what lies at a path, or a folder above it, acts by being there."""
    *folders, name = path.rstrip("/").split("/")
    if any(name_acts(part, is_folder=True) for part in folders):
        return True
    return name_acts(name, folders[-1] if folders else "", is_folder=is_folder)


def name_acts(name: str, above: str = "", *, is_folder: bool = False) -> bool:
    """Whether what has this name, in a folder of the name `above`, acts by itself."""
    plain = folded(name)
    if plain in _PLAIN or _WILD.match(plain):
        return True
    if is_folder:
        return False
    return plain == HEAD or plain == "__init__.py" and folded(above) == "tasks"


def rsync_rules() -> list[str]:
    """Options that have a sender leave them out, in the spellings that rsync's patterns can name."""
    excluded = [*NAMES, PACKAGE, HEAD]
    return [f"--include={any_case(HEAD)}/", *(f"--exclude={any_case(name)}" for name in excluded)]
