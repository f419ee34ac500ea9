"""Addresses of mirrors: one form for each, and no secrets in any."""

from __future__ import annotations

import pytest

from wavlm.errors import UsageError
from wavlm.storage.mirror.address import read_address
from wavlm.storage.mirror.mirror import Mirror


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket//a/b/", "s3://bucket/a/b"),
        ("file:///mnt/all", "file:///mnt/all"),
        ("file:///mnt/all/", "file:///mnt/all"),
    ],
)
def test_an_address_has_one_form(text: str, found: str) -> None:
    assert read_address(text) == read_address(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket",
        "/mnt/all",
        "s3:/bucket",
        "s3://",
        "s3:///folder",
        "s3://bucket/../other",
        "s3://bucket/a b",
        "s3://bucket/a%2fb",
        "http://bucket/a",
        "gs://bucket/a",
        "file://host/a",
        "file://a",
        "s3://canary-key:canary-word@bucket/a",
        "s3://bucket/a?secret=canary-word",
        "s3://bucket/a#canary-word=1",
    ],
)
def test_what_is_no_address_is_refused_at_once(text: str) -> None:
    with pytest.raises(UsageError, match=r"MIRROR_ADDRESS") as refused:
        Mirror(text)
    assert "canary" not in str(refused.value)


def test_a_server_without_encryption_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage.example.org")
    with Mirror("s3://bucket") as mirror, pytest.raises(UsageError, match=r"MIRROR_ADDRESS.*AWS_ALLOW_HTTP"):
        mirror.read("a")
