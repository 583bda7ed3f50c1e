"""Documents of the repository become pages of the site of one language."""

from __future__ import annotations

import pytest

from scripts.site.pages import navigation, page, site_pages

DOCUMENTS = [
    "docs/index.md",
    "docs/jobs.md",
    "docs/ja/README.md",
    "docs/ja/index.md",
    "docs/ja/jobs.md",
]
ENGLISH, JAPANESE = site_pages("en", DOCUMENTS), site_pages("ja", DOCUMENTS)


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(ENGLISH.values()) == sorted(JAPANESE.values())
    assert ENGLISH["docs/jobs.md"] == JAPANESE["docs/ja/jobs.md"] == "jobs.md"
    assert "docs/ja/README.md" not in JAPANESE


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[a](index.md)", "[a](index.md)"),
        ("[a](#here)", "[a](#here)"),
        ("[a](index.md#start)", "[a](index.md#start)"),
        ("[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("[a](../README.md#install)", "[a](index.md)"),
        ("[a](../CHANGELOG.md)", "[a](changelog.md)"),
        ("[a](ja/jobs.md#%E3%81%82)", "[a](jobs.md)"),
        ("[`a`](../containers)", "`a`"),
        ("![a](pictures/a.svg)", "![a](pictures/a.svg)"),
        ("![a](../pictures/a.svg)", "![a](pictures/a.svg)"),
        ("![a](docs/pictures/a.svg)", "![a](pictures/a.svg)"),
    ],
)
def test_links_between_files_become_links_between_pages(link: str, shown: str) -> None:
    assert page(link, "docs/jobs.md", ENGLISH, {}) == shown


def test_links_of_a_shared_page_lead_to_pages_of_the_language() -> None:
    text = "[a](docs/jobs.md#sweeps) [b](LICENSE)"
    assert page(text, "CHANGELOG.md", JAPANESE, {}) == "[a](jobs.md) b"


def test_the_line_of_links_below_a_title_is_for_the_repository_alone() -> None:
    text = "# Jobs\n\n[日本語](ja/jobs.md) · [README](../README.md)\n\nText.\n"
    assert page(text, "docs/jobs.md", ENGLISH, {}) == "# Jobs\n\nText.\n"


def test_a_mark_becomes_what_the_code_says() -> None:
    text = "a\n<!-- reference: commands -->\nb <!-- another -->\n"
    shown = page(text, "docs/jobs.md", ENGLISH, {"commands": lambda: "### inv x"})
    assert shown == "a\n### inv x\nb <!-- another -->\n"
    with pytest.raises(KeyError):
        page(text, "docs/jobs.md", ENGLISH, {})


def test_the_lists_of_an_index_are_the_navigation() -> None:
    index = (
        "# T\n\n[x](no.md)\n\n## Use\n\n- [Jobs](jobs.md): [all](other.md)\n\n## Rest\n\nNone.\n"
    )
    tree = "\n\n```{toctree}\n:hidden:\n:caption: Use\n\njobs\n```\n"
    assert navigation(index) == tree
    assert page(index, "docs/index.md", {**ENGLISH, "docs/no.md": "no.md"}, {}).endswith(tree)
