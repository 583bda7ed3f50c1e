"""TARGET_DIR: rsync's notation, read; what is wrong is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remote.errors import ConfigError
from remote.target import Target

FORMS = {
    "host:/dir": ("", "host", "/dir"),
    "user@host:/dir": ("user", "host", "/dir"),
    "user@[::1]:/dir": ("user", "::1", "/dir"),
    "[fe80::1%eth0]:/dir": ("", "fe80::1%eth0", "/dir"),
    "[10.0.0.1]:/dir": ("", "10.0.0.1", "/dir"),
    "host:proj": ("", "host", "proj"),
    "host:a/b": ("", "host", "a/b"),
    "host:~/proj": ("", "host", "proj"),
    "gpu_1.lab-2:/dir": ("", "gpu_1.lab-2", "/dir"),
    "alias:/dir": ("", "alias", "/dir"),
    "name@corp.example@host:/dir": ("name@corp.example", "host", "/dir"),
    "DOMAIN+user@host:/dir": ("DOMAIN+user", "host", "/dir"),
    'host:/a dir/it\'s "mine"': ("", "host", '/a dir/it\'s "mine"'),
    "host:/$(touch x)/`y`": ("", "host", "/$(touch x)/`y`"),
    "host:/プロジェクト": ("", "host", "/プロジェクト"),
    "host:-dash": ("", "host", "-dash"),
    "host:/a:b": ("", "host", "/a:b"),
    "host:C:/x": ("", "host", "C:/x"),
    "host:/dir/": ("", "host", "/dir"),
    "host:/a//b/../c/.": ("", "host", "/a/c"),
    "host:./proj/": ("", "host", "proj"),
    "  host:/dir  ": ("", "host", "/dir"),
}

WRONG = {
    "": "empty",
    "   ": "empty",
    "host:/a\nb": "control character",
    "host:/a\tb": "control character",
    "host:/a\0b": "control character",
    "host:/a\x7fb": "control character",
    "rsync://host/module": "daemon",
    "host::module": "daemon",
    "user@host::module/path": "daemon",
    "user@host": "folder is missing",
    "user@[::1]": "folder are missing",
    "[::1]/dir": "folder are missing",
    ":/dir": "host '' is empty",
    "user@:/dir": "host '' is empty",
    "@host:/dir": "user before the @ is empty",
    "ho st:/dir": "'ho st'",
    "ho;st:/dir": "'ho;st'",
    "$(reboot):/dir": "$(reboot)",
    "-oProxyCommand=sh:/dir": "-oProxyCommand=sh",
    "-host:/dir": "starts with a dash",
    "-oProxyCommand=x@host:/dir": "starts with a dash",
    "us er@host:/dir": "'us er'",
    "a;b@host:/dir": "'a;b'",
    "`x`@host:/dir": "the user",
    "[nonsense]:/dir": "not an IPv6 address",
    "[::1;x]:/dir": "not an IPv6 address",
    "[]:/dir": "not an IPv6 address",
    "user@[-1]:/dir": "not an IPv6 address",
    "host:": "home folder itself",
    "host:.": "home folder itself",
    "host:~": "home folder itself",
    "host:~/": "home folder itself",
    "host:~/.": "home folder itself",
    "host:a/..": "home folder itself",
    "host:/": "whole server",
    "host://": "whole server",
    "host:/..": "whole server",
    "host:/a/..": "whole server",
    "host:~other/proj": "'~other'",
    "host:~other": "'~other'",
    "host:..": "outside of the home",
    "host:../x": "outside of the home",
    "host:a/../../x": "outside of the home",
    "host:~/../x": "outside of the home",
    "/": "whole machine",
    "//": "whole machine",
    "/..": "whole machine",
    "~": "your home",
    "~/": "your home",
    "~other/proj": "'~other'",
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_rsync_is_read(text: str) -> None:
    target = Target.parse(text)
    assert (target.user, target.host, target.path) == FORMS[text]
    assert not target.is_local


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(text)
    assert WRONG[text] in caught.value.message
    assert "user@host:/dir" in caught.value.hint


def test_an_error_stays_on_two_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse("host:/a\nb\nc")
    assert len(str(caught.value).splitlines()) <= 2


def test_a_plain_directory_needs_no_ssh(tmp_path: Path) -> None:
    target = Target.parse(f"{tmp_path}/proj/")
    assert target.is_local and target.path == f"{tmp_path}/proj"


def test_a_relative_directory_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Target.parse("copies/proj").path == f"{tmp_path}/copies/proj"
    assert Target.parse("../proj").path == f"{tmp_path.parent}/proj"


def test_tilde_is_the_home(isolated: Path) -> None:
    assert Target.parse("~/proj").path == f"{isolated}/proj"


def test_the_home_itself_is_refused_however_it_is_written(isolated: Path) -> None:
    for text in (str(isolated), f"{isolated}/", f"{isolated}/x/..", "~/."):
        with pytest.raises(ConfigError):
            Target.parse(text)


def test_a_colon_after_a_slash_belongs_to_the_path(tmp_path: Path) -> None:
    assert Target.parse(f"{tmp_path}/a:b").path == f"{tmp_path}/a:b"


def test_a_local_path_keeps_its_odd_letters(tmp_path: Path) -> None:
    path = f'{tmp_path}/a b/it\'s "$(x)"/日本'
    assert Target.parse(path).path == path


@pytest.mark.parametrize(
    ("text", "login"),
    [("host:/d", "host"), ("me@host:/d", "me@host"), ("me@[::1]:/d", "me@::1")],
)
def test_the_login_is_what_ssh_takes(text: str, login: str) -> None:
    assert Target.parse(text).login == login


def test_the_key_tells_targets_apart_and_forgets_spelling() -> None:
    keys = {Target.parse(text).key for text in ("h:/a", "u@h:/a", "h:/b", "h:a", "i:/a")}
    assert len(keys) == 5
    assert Target.parse("h:/a/").key == Target.parse("h:/a").key
    assert Target.parse("h:~/a").key == Target.parse("h:a").key
    assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)


def test_doubled_slashes_in_front_are_one() -> None:
    assert Target.parse("//srv/proj").path == "/srv/proj"
    assert Target.parse("h://srv/proj").key == Target.parse("h:/srv/proj").key


HOMES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
PARTS = ["host", "user", "@", ":", "/", "~", ".", "..", "[", "]", "::1", " ", "-", "\n", "%", "'"]


@HOMES
@given(st.text() | st.lists(st.sampled_from(PARTS)).map("".join))
@example("\udcff:/x")
@example("//")
@example("host:/\udcff")
@example("0 /")
@example("0 /.")
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        target = Target.parse(text)
    except ConfigError:
        return
    assert Target.parse(str(target)) == target
    assert target.key


@HOMES
@given(st.lists(st.sampled_from(PARTS), min_size=1).map("".join))
def test_what_reaches_ssh_is_never_an_option(text: str) -> None:
    try:
        target = Target.parse(text)
    except ConfigError:
        return
    assert target.is_local or not target.login.startswith("-")
    assert not target.is_local or target.path.startswith("/")
