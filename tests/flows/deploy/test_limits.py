"""A server that forgets who holds a slot gets no limits: that is a remark, so there is nothing to change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from flows.deploy.apply import MEMORY_LEASES, _apply_limits


class DefaultServer:
    """As `prefect server start` without settings."""

    def read_global_concurrency_limit_by_name(self, name: str) -> None:
        raise ObjectNotFound(ValueError(name))

    def request(self, *_: object) -> object:
        settings = {"server": {"concurrency": {"lease_storage": MEMORY_LEASES}}}
        return SimpleNamespace(json=lambda: settings)


def test_limits_that_are_not_made_are_no_change() -> None:
    changes: list[str] = []
    remarks: list[str] = []
    client = cast("SyncPrefectClient", DefaultServer())
    _apply_limits(client, {"tag:gpu": 1}, changes.append, remarks.append)
    assert changes == []
    (line,) = remarks
    assert "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem" in line
    assert "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER=86400" in line
