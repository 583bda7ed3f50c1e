"""No password, token or secret option of an address is shown, wherever in a text it stands."""

from __future__ import annotations

import pytest

from remote.addresses import without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mysql+pymysql://me:a/b@c:d@host/db", "mysql+pymysql://me:***@host/db"),
        ("mysql+pymysql://me:HUN@TER2@h/db", "mysql+pymysql://me:***@h/db"),
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("ftp://me:hunter2@h/x", "ftp://me:***@h/x"),
        ("databricks://dapi0123@h", "databricks://***@h"),
        ("https://ghp_hunter2@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("HTTPS://me:hunter2@h", "HTTPS://me:***@h"),
        ("s3://AKIA:hunter2@bucket/x", "s3://AKIA:***@bucket/x"),
        ("postgresql://me@host/db?password=s3cret&x=1", "postgresql://me@host/db?password=***&x=1"),
        ("https://host/x?token=s3cret", "https://host/x?token=***"),
        ("https://h/x?X-Amz-Signature=a/b+c=&y=2", "https://h/x?X-Amz-Signature=***&y=2"),
        ("https://h/#/a?API_KEY=k", "https://h/#/a?API_KEY=***"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("ssh://me@host:22/x", "ssh://me@host:22/x"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("http://127.0.0.1:8888/lab?token=open-me", "http://127.0.0.1:8888/lab?token=open-me"),
        ("http://127.0.0.1.evil.example/?token=x", "http://127.0.0.1.evil.example/?token=***"),
        ("http://me:pw@127.0.0.1:5000/?x=1", "http://me:***@127.0.0.1:5000/?x=1"),
    ],
)
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown
    assert without_secrets(f'"{address}", of me@b: {address}\n') == f'"{shown}", of me@b: {shown}\n'


def test_texts_without_addresses_stay_as_they_are() -> None:
    text = "user@host:/proj has token=1 and a: b@c"
    assert without_secrets(text) is text
