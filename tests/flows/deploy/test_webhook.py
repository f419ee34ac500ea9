"""The block that holds the address of a webhook: written once, and again only when the address is another one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from prefect.blocks.webhook import Webhook
from prefect.exceptions import ObjectNotFound

from flows.deploy import notify

OLD, NEW = UUID(int=1), UUID(int=2)


class Server:
    """What Prefect's client is asked for here: the block, if there is one."""

    def __init__(self, url: str | None) -> None:
        self.url = url

    def read_block_document_by_name(self, *_: object, include_secrets: bool) -> SimpleNamespace:
        if self.url is None:
            raise ObjectNotFound(http_exc=RuntimeError("there is none"))
        return SimpleNamespace(id=OLD, data={"url": self.url if include_secrets else "********"})


@pytest.mark.parametrize(
    ("there", "block", "lines"),
    [
        (None, NEW, ["webhook wavlm-webhook: made"]),
        ("https://a/hook", OLD, []),
        ("https://b/hook", NEW, ["webhook wavlm-webhook: changed"]),
    ],
)
def test_the_address_is_written_when_it_is_new(
    there: str | None, block: UUID, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []

    def save(webhook: Webhook, name: str, *, overwrite: bool) -> UUID:
        saved.append(f"{name} {webhook.url.get_secret_value()} {overwrite}")
        return NEW

    monkeypatch.setattr(Webhook, "save", save)
    told: list[str] = []
    found = notify._save_webhook(cast("Any", Server(there)), "https://a/hook", told.append)
    assert found == str(block)
    assert told == lines
    assert saved == (["wavlm-webhook https://a/hook True"] if lines else [])
