"""Build the site of each language into docs/_build/site, or show it on loopback with --serve."""

from __future__ import annotations

import argparse
import functools
import http.server
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.site import reference
from scripts.site.pages import FOLDERS, PICTURES, page, site_pages

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "docs/_build"

#: The languages' places below the site's root: English pages at /, Japanese ones at /ja/.
PLACES = {"en": "", "ja": "ja"}


def stage(language: str, folder: Path) -> None:
    """Write the pages of one language into `folder`."""
    documents = ROOT.glob(f"{FOLDERS[language]}/*.md")
    pages = site_pages(language, [path.relative_to(ROOT).as_posix() for path in documents])
    shutil.copytree(ROOT / "docs" / PICTURES, folder / PICTURES)
    for path, name in pages.items():
        text = page((ROOT / path).read_text("utf-8"), path, pages, reference.BLOCKS)
        (folder / name).write_text(text, "utf-8")


def build(output: Path) -> int:
    """Build all languages below `output`, side by side; the first exit code that isn't 0."""
    # Sphinx would leave old navigation in pages that did not change.
    shutil.rmtree(output, ignore_errors=True)
    started = []
    for language, place in PLACES.items():
        stage(language, output / "source" / language)
        argv = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "docs")]
        argv += ["-D", f"language={language}", "-d", str(output / "doctrees" / language)]
        argv += [str(output / "source" / language), str(output / "site" / place)]
        started.append(subprocess.Popen([sys.executable, "-m", "sphinx", *argv], cwd=ROOT))
    return next((code for code in [each.wait() for each in started] if code), 0)


def serve(port: int) -> None:
    """Show the site until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(BUILD / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.site", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="show what was built")
    parser.add_argument("--port", type=int, default=8000, help="where (default: 8000)")
    chosen = parser.parse_args()
    if importlib.util.find_spec("sphinx") is None:
        parser.error("Sphinx is not installed: make install, with Python 3.11 or newer.")
    code = build(BUILD)
    if code == 0 and chosen.serve:
        serve(chosen.port)
    return code


if __name__ == "__main__":
    sys.exit(main())
