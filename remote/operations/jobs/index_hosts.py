"""The hosts that environments are made from, and how far each of them may lead from this machine.

A server that installs through this machine reaches these and nothing else.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from remote.config import Project, pyproject

#: A host, in small letters, and a port.
HostPort = tuple[str, int]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: What the name of a host may resolve to: an address of the internet; also one of a private network;
#: also this machine itself.
PUBLIC, PRIVATE, HERE = range(3)

#: PyPI, PyTorch's and NVIDIA's wheels, uv itself and the Pythons that it installs, and conda's own
#: channels.
USUAL = (
    "pypi.org", "files.pythonhosted.org", "download.pytorch.org", "download-r2.pytorch.org",
    "pypi.nvidia.com", "github.com", "objects.githubusercontent.com",
    "release-assets.githubusercontent.com", "releases.astral.sh", "conda.anaconda.org",
    "repo.anaconda.com",
)  # fmt: skip

#: Settings of uv, pip and our own that name addresses of indexes or hosts.
VARIABLES = (
    "REMOTE_PROXY_HOSTS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS", "UV_PYTHON_INSTALL_MIRROR", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
)  # fmt: skip

#: The user's own configuration, below the home or the system's.
FILES = (
    "~/.config/uv/uv.toml", "/etc/uv/uv.toml", "~/.config/pip/pip.conf", "~/.pip/pip.conf",
    "~/Library/Application Support/pip/pip.conf", "/etc/pip.conf", "~/.config/pypoetry/config.toml",
)  # fmt: skip

_URL = re.compile(r"https?://[^\s\"'<>,;\\\]\)]+")
_OPTION = re.compile(r"^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links)[\s=].*$", re.MULTILINE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

#: For benchmarks and documents (RFC 2544, 5737): no network has these addresses. VPNs and sandboxes
#: answer with them for names of the internet, whose connections they take over.
_STAND_INS = tuple(
    ipaddress.ip_network(text)
    for text in ("198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
)

#: Where a project's own files tell what its packages come from.
_LOCKS = (
    "uv.lock", "poetry.lock", "pylock.toml", "requirements*.lock", "requirements*.txt",
    "environment.y*ml",
)  # fmt: skip


def index_hosts(project: Project) -> dict[HostPort, int]:
    """The hosts that may be reached, and what each may resolve to: what this machine's user has
    set up may lie anywhere, what the project names in no file of its own on this machine itself."""
    settings = (project.settings.get(name, "") for name in VARIABLES)
    own = [*settings, *(_read(Path(name).expanduser()) for name in FILES)]
    locks = [_read(file) for pattern in _LOCKS for file in sorted(project.root.glob(pattern))]
    options = (line for text in locks for line in _OPTION.findall(text))
    usual = (f"https://{host}" for host in USUAL)
    named = [*options, *_indexes(project.root), _read(project.root / "uv.toml")]
    hosts: dict[HostPort, int] = {}
    for reach, texts in ((PUBLIC, [*usual, *locks]), (PRIVATE, named), (HERE, own)):
        hosts.update(dict.fromkeys(_hosts(texts), reach))
    hosts.update(dict.fromkeys(_plain(project.settings.get("REMOTE_PROXY_HOSTS", "")), HERE))
    return hosts


def _read(file: Path) -> str:
    """A file's text without its comments; empty where there is none."""
    with contextlib.suppress(OSError):
        text = file.read_text("utf-8", "replace")
        return "\n".join(line for line in text.splitlines() if not re.match(r"\s*[#;]", line))
    return ""


def _indexes(root: Path) -> Iterator[str]:
    """What pyproject.toml names as indexes of uv or Poetry."""
    tables: Any = {}
    with contextlib.suppress(OSError, ValueError):
        tables = pyproject(root).get("tool")
    for tool, names in (("uv", ("index", "index-url", "extra-index-url", "find-links", "pip")),
                        ("poetry", ("source",))):  # fmt: skip
        table = tables.get(tool) if isinstance(tables, dict) else None
        if isinstance(table, dict):
            yield from (repr(table[name]) for name in names if name in table)


def _hosts(texts: Iterable[str]) -> Iterator[HostPort]:
    for address in (address for text in texts for address in _URL.findall(text)):
        with contextlib.suppress(ValueError):
            parts = urlsplit(address)
            if parts.hostname:
                port = parts.port or (443 if parts.scheme == "https" else 80)
                yield plain_name(parts.hostname), port


def _plain(text: str) -> Iterator[HostPort]:
    """`mirror.example other.example:8443`; without a port, that of https."""
    for word in re.split(r"[\s,]+", text):
        match = re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", word)
        if match:
            yield plain_name(match[1].strip("[]")), int(match[2] or 443)


def plain_name(host: str) -> str:
    """A host's name as it is compared."""
    return host.strip("[]").rstrip(".").lower()


def may_lead_to(text: str, reach: int) -> bool:
    """Whether a name of that reach may resolve to this address."""
    address = _behind(ipaddress.ip_address(text))
    is_stand_in = any(address in network for network in _STAND_INS)
    if is_stand_in or address.is_global and not address.is_multicast:
        return True
    if reach == HERE:
        return not address.is_multicast and not address.is_unspecified
    astray = (address.is_loopback, address.is_link_local, address.is_multicast)
    return reach == PRIVATE and not any((*astray, address.is_unspecified, address.is_reserved))


def _behind(address: Address) -> Address:
    """The IPv4 address that one of IPv6 stands for: mapped, 6to4, Teredo, NAT64, compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or int(address) >> 32 == 0 and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def allowed(hosts: Mapping[HostPort, int], host: str, port: int) -> int | None:
    """How far that host and port may lead; None where they aren't among them."""
    return hosts.get((plain_name(host), port))
