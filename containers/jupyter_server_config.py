"""How the container's JupyterLab is set up; entrypoint.sh starts it with this file."""

import os
import secrets
import sys
from pathlib import Path

c = get_config()  # noqa: F821

root = Path(os.environ["JUPYTER_ROOT_DIR"])
project = root / "project"


def token() -> str:
    """LAB_TOKEN, else one of the lab's own, which stays the same from one start to the next."""
    named = os.environ.pop("LAB_TOKEN", "")
    file = Path.home() / ".token"
    if not named and not file.is_file():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(secrets.token_hex(24))
    return named or file.read_text()


def first_folder() -> str:
    """Where the file browser opens, seen from the root."""
    named = os.environ.get("JUPYTER_NOTEBOOK_DIR")
    folder = Path(named) if named else project / "src" / "notebooks"
    if not folder.is_relative_to(root):
        sys.exit(f"JUPYTER_NOTEBOOK_DIR ({folder}) must lie below JUPYTER_ROOT_DIR ({root}).")
    if named:
        folder.mkdir(parents=True, exist_ok=True)
    return folder.relative_to(root).as_posix() if folder.is_dir() else ""


c.ServerApp.ip = "0.0.0.0"  # compose.yaml says which addresses of the machine lead here
c.ServerApp.port = 8888
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = os.getuid() == 0
c.ServerApp.root_dir = str(root)
c.IdentityProvider.token = token()
c.FileContentsManager.preferred_dir = first_folder()
# A notebook that is saved gets a twin in plain Python, unless the project's jupytext.toml says else.
c.JupytextConfiguration.formats = "ipynb,py:percent"
