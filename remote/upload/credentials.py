"""How to log in to an MLflow server: from the same settings as MLflow's own client."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remote.errors import ConfigError

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"
INSECURE = "MLFLOW_TRACKING_INSECURE_TLS"
SERVER_CERT, CLIENT_CERT = "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"
_NOT_SPOKEN = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_YES, _NO = ("true", "1"), ("", "false", "0")


@dataclass(frozen=True)
class Credentials:
    """Basic login goes before the token, as in MLflow's client."""

    user: str = ""
    password: str = ""
    token: str = ""
    verify: bool | str = True
    """False: any certificate will do; a string: the file with those to trust."""
    client_cert: str = ""

    @property
    def basic(self) -> bool:
        return bool(self.user and self.password)

    @property
    def said_by(self) -> str:
        """The settings that the login comes from, none without a login."""
        if self.basic:
            return f"{USER} and {PASSWORD}"
        return TOKEN if self.token else ""

    @classmethod
    def read(cls, env: Mapping[str, str], home: Path) -> Credentials:
        """From the environment, then from `~/.mlflow/credentials`. Raises ConfigError."""
        for name in _NOT_SPOKEN:
            if env.get(name, "").lower() not in _NO:
                raise ConfigError(
                    f"A login by {name} isn't supported here.",
                    f"Set {USER} and {PASSWORD}, or {TOKEN}.",
                )
        kept = _read_file(home / ".mlflow" / "credentials")
        return cls(
            user=env.get(USER) or kept.get(USER.lower(), ""),
            password=env.get(PASSWORD) or kept.get(PASSWORD.lower(), ""),
            token=env.get(TOKEN, ""),
            verify=_verify(env),
            client_cert=env.get(CLIENT_CERT, ""),
        )


def _verify(env: Mapping[str, str]) -> bool | str:
    insecure, certificates = env.get(INSECURE, "").lower(), env.get(SERVER_CERT, "")
    if insecure not in _YES + _NO:
        raise ConfigError(f"{INSECURE} is {insecure!r}.", "Set it to true or to false.")
    if insecure in _YES and certificates:
        raise ConfigError(f"{INSECURE} and {SERVER_CERT} exclude each other.", "Unset one of them.")
    return insecure not in _YES and (certificates or True)


def _read_file(path: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    return dict(parser["mlflow"]) if "mlflow" in parser else {}
