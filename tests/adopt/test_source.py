from __future__ import annotations

from typing import Any

import pytest

from remote.adopt.source import of_url, source
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (
            {
                "url": "https://token@example.com/a/b.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
            },
            "remote-gpu-workflow @ git+https://example.com/a/b.git@abc",
        ),
        (
            {
                "url": "ssh://git@example.com/b",
                "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "v1"},
                "subdirectory": "c",
            },
            "remote-gpu-workflow @ git+ssh://git@example.com/b@v1#subdirectory=c",
        ),
        (
            {"url": "https://example.com/x.whl", "archive_info": {}},
            "remote-gpu-workflow @ https://example.com/x.whl",
        ),
    ],
)
def test_the_project_gets_the_toolkit_from_where_it_came(
    origin: dict[str, Any], requirement: str
) -> None:
    assert of_url(origin) == requirement


def test_a_clone_is_installed_as_it_lies_there() -> None:
    assert source() == ("--editable", str(ROOT))
