"""What verify and gc do with a mirror, and the progress of transfers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress as Bars

from flows.cli import console
from flows.cli.inventory import size_text
from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress

if TYPE_CHECKING:
    from wavlm.pipeline.mirror.garbage import StoredObject


def verify_mirror(address: str, only: str, *, deep: bool) -> None:
    """Compare a mirror with its entries, and say what differs. Ends with code 65 if anything does."""
    from wavlm.errors import EXIT_BAD_DATA
    from wavlm.pipeline.mirror.verify import verify_mirror as verify
    from wavlm.storage.mirror.mirror import Mirror

    with Mirror(address) as opened, show_transfers(1) as next_bar:
        found = verify(opened, lambda name: only in name, next_bar(opened.address), deep=deep)
        where = opened.address
    for line in found.damages:
        console.out.print(f"DAMAGED: {line}", markup=False, highlight=False, soft_wrap=True)
    if found.damages:
        console.err.print(
            f"send it again from a store that has it: wavlm push {where} --check", markup=False, soft_wrap=True
        )
        raise typer.Exit(EXIT_BAD_DATA)
    if not found.num_artifacts:
        raise BadDataError("MIRROR_LACKS", f"no artifact has {only!r} in its name; at {where}; see wavlm fetch --list")
    how = "are what was pushed" if deep else "are there with their sizes; their bytes: --deep"
    size = size_text(found.num_bytes)
    text = f"{found.num_artifacts} artifacts: {found.num_objects} objects, {size}, {how}"
    console.out.print(text, highlight=False, soft_wrap=True)


def collect_mirror(address: str, grace_days: float, *, delete: bool) -> None:
    """Show what no entry of a mirror names, or delete what is old of it."""
    from wavlm.pipeline.mirror.garbage import delete_unnamed, find_unnamed
    from wavlm.storage.mirror.mirror import Mirror

    with Mirror(address) as opened:
        if delete:
            with show_transfers(1) as next_bar:
                gone = delete_unnamed(opened, grace_days, next_bar(opened.address))
            size = size_text(sum(item.num_bytes for item in gone))
            console.out.print(f"{len(gone)} objects deleted, {size} freed; in {opened.address}", soft_wrap=True)
            return
        found = find_unnamed(opened, grace_days)
    lines = [
        f"{found.num_entries} entries; {found.num_objects} objects, {size_text(found.num_bytes)}",
        f"named by no entry, and older than {grace_days:g} days: {_count(found.old)}",
        f"named by no entry, and younger, perhaps of a push that is under way: {_count(found.young)}",
    ]
    if found.num_strange:
        lines.append(f"{found.num_strange} objects have other names than a push gives, and stay")
    for line in lines:
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.old:
        console.out.print(f"{size_text(sum(item.num_bytes for item in found.old))} can be freed: add --delete")


def _count(items: Sequence[StoredObject]) -> str:
    return f"{len(items)} objects, {size_text(sum(item.num_bytes for item in items))}"


@contextmanager
def show_transfers(total: int) -> Iterator[Callable[[str], Progress]]:
    """What gives the progress of each of so many artifacts a bar of its own, one after another."""
    with Bars(console=console.err, transient=True) as bars:
        whole = bars.add_task("artifacts", total=total)
        row = bars.add_task("", total=None)

        def begin(name: str) -> Progress:
            bars.advance(whole)
            bars.reset(row, description=name)
            return lambda done, size: bars.update(row, completed=done, total=size)

        yield begin
