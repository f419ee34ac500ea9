"""A server that forgets who holds a slot gets no limits: that is a remark, so there is nothing to change.

A limit that is there belongs to its owner, unless the command names a number.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
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
    _apply_limits(client, {"tag:gpu": 1}, {}, changes.append, remarks.append)
    assert changes == []
    (line,) = remarks
    assert "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem" in line
    assert "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER=86400" in line


class Limited:
    """A server with limits; Prefect's own models check what it is told."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits

    def read_global_concurrency_limit_by_name(self, name: str) -> object:
        return SimpleNamespace(limit=self.limits[name.removeprefix("tag:")])

    def update_global_concurrency_limit(self, name: str, wanted: GlobalConcurrencyLimitUpdate) -> None:
        assert wanted.limit is not None
        self.limits[name.removeprefix("tag:")] = wanted.limit


def test_a_limit_changes_only_if_the_command_names_it() -> None:
    """A second `wavlm deploy --trainings 3` was ignored without a word."""
    server, changes = Limited(gpu=1, download=4), list[str]()
    client = cast("SyncPrefectClient", server)
    _apply_limits(client, {"tag:gpu": 3, "tag:download": 2}, {"tag:gpu": 3}, changes.append, changes.append)
    assert server.limits == {"gpu": 3, "download": 4}
    assert changes == ["limit tag:gpu: 1 at a time -> 3"]
