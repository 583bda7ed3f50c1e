"""A page is opened once, by an address that gives nothing away."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
import webbrowser
from urllib.parse import urlsplit

import pytest

from remote.operations.services import browser
from tests.waiting import until

ADDRESS = "http://127.0.0.1:8888/lab?token=secret"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *words: object) -> None:
        return None


def ask(address: str) -> tuple[int, str | None]:
    try:
        answer = urllib.request.build_opener(NoRedirect).open(address)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.code, answer.headers["Location"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was started with."""
    addresses: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_browser_is_told_an_address_without_the_token(opened: list[str]) -> None:
    assert browser.show(ADDRESS)
    [address] = opened
    assert "secret" not in address and urlsplit(address).hostname == "127.0.0.1"
    assert ask(address) == (302, ADDRESS)


def test_who_does_not_know_it_is_led_nowhere(opened: list[str]) -> None:
    browser.show(ADDRESS)
    [address] = opened
    parts = urlsplit(address)
    assert ask(f"http://{parts.netloc}/") == (404, None)
    assert ask(address) == (302, ADDRESS)


def test_it_leads_there_once(opened: list[str]) -> None:
    browser.show(ADDRESS)
    [address] = opened
    ask(address)

    def refused() -> bool:
        try:
            ask(address)
        except OSError:
            return True
        return False

    until(refused)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a page is always shown")
def test_without_a_screen_nothing_is_opened(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in browser.SHOWN_BY:
        monkeypatch.delenv(name, raising=False)
    assert not browser.show(ADDRESS) and opened == []


def test_a_browser_that_can_not_be_started_is_none(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(address: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", broken)
    assert not browser.show(ADDRESS)
