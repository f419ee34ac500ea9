"""Commands for a mirror: push, fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import console
from flows.cli.inventory import size_text
from flows.cli.mirror_house import show_transfers
from flows.cli.options import DEFAULT_STORE, StoreFolder
from wavlm.errors import BadDataError, UsageError

MirrorAddress = Annotated[
    str,
    typer.Argument(metavar="MIRROR", envvar="WAVLM_MIRROR", help="s3://BUCKET/FOLDER, or file:///FOLDER"),
]
Only = Annotated[str, typer.Option(metavar="TEXT", help="Only artifacts whose folder contains this")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(push)
    app.command()(fetch)


def push(
    mirror: MirrorAddress,
    *,
    store: StoreFolder = DEFAULT_STORE,
    only: Only = "",
    check: Annotated[
        bool, typer.Option("--check", help="Read all that is there, too, and send again what is damaged")
    ] = False,
) -> None:
    """Push complete artifacts to an object store. What is there is not sent again; an interrupted push goes on.

    Credentials come from the environment (AWS_ACCESS_KEY_ID and so on) or from a profile (AWS_PROFILE), another store
    than that of AWS from AWS_ENDPOINT_URL.

    [bold]Examples[/]

      [cyan]wavlm push s3://speech/wavlm[/]

      [cyan]wavlm push s3://speech/wavlm --only shards/ --store /data/store[/]
    """
    from flows.cli.store import require_store
    from wavlm.pipeline.mirror.push import push as push_folder
    from wavlm.storage.mirror.mirror import Mirror

    artifact_store = require_store(store)
    folders = [path for path in artifact_store.folders() if only in f"{path.parent.name}/{path.name}"]
    if not folders:
        raise UsageError(
            "NOTHING_FITS",
            f"no complete artifact has {only!r} in its folder; at {artifact_store.root}; see status",
        )
    num_pushed = num_sent = bytes_sent = 0
    with Mirror(mirror) as opened, show_transfers(len(folders)) as next_bar:
        for folder in folders:
            found = push_folder(folder, opened, next_bar(f"{folder.parent.name}/{folder.name}"), check=check)
            num_pushed += not found.was_there
            num_sent += found.num_sent
            bytes_sent += found.bytes_sent
    console.out.print(
        f"{num_pushed} of {len(folders)} artifacts pushed: {num_sent} files, {size_text(bytes_sent)} sent; the others "
        "were there",
        highlight=False,
        soft_wrap=True,
    )


def fetch(
    mirror: MirrorAddress,
    *,
    store: StoreFolder = DEFAULT_STORE,
    only: Only = "",
    shown: Annotated[bool, typer.Option("--list", help="Only show what the mirror has")] = False,
) -> None:
    """Fetch artifacts from an object store: each is compared with its record before it appears in the store.

    [bold]Examples[/]

      [cyan]wavlm fetch s3://speech/wavlm --list[/]

      [cyan]wavlm fetch s3://speech/wavlm --only export/[/]
    """
    from wavlm.pipeline.mirror.entry import list_entries
    from wavlm.pipeline.mirror.fetch import fetch as fetch_entry
    from wavlm.pipeline.store import Store
    from wavlm.storage.elsewhere import Elsewhere
    from wavlm.storage.mirror.mirror import Mirror

    with Mirror(mirror) as opened:
        entries = [entry for entry in list_entries(opened) if only in str(entry)]
        if not entries:
            raise BadDataError(
                "MIRROR_LACKS", f"no artifact has {only!r} in its name; at {opened.address}; see what it has: --list"
            )
        if shown:
            for entry in entries:
                console.out.print(
                    f"{entry}  {size_text(entry.num_bytes)}", highlight=False, markup=False, soft_wrap=True
                )
            return
        root = Store(store).root
        with show_transfers(len(entries)) as next_bar:
            for entry in entries:
                fetch_entry(entry, opened, root, Elsewhere(mirror=opened.address), next_bar(str(entry)))
    console.out.print(f"{len(entries)} artifacts are here; in {root}", highlight=False, soft_wrap=True)
