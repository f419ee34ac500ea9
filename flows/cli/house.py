"""Commands that keep house: gc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli import console
from flows.cli.complete import complete_recipe
from flows.cli.inventory import size_text
from flows.cli.mirror_house import collect_mirror
from flows.cli.options import DEFAULT_STORE, StoreFolder
from wavlm.errors import CodedError, UsageError
from wavlm.pipeline.garbage.survey import Item, What

if TYPE_CHECKING:
    from wavlm.pipeline.garbage.kept import Kept
    from wavlm.pipeline.registration import RegistrationFacts
    from wavlm.pipeline.store import Store


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(gc)


def gc(  # noqa: PLR0913 - one option each
    store: StoreFolder = DEFAULT_STORE,
    *,
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RECIPE",
            help="Keep what this recipe wants, too; may be given several times",
            autocompletion=complete_recipe,
        ),
    ] = None,
    forget: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RECIPE", help="Let go of a recipe that was run with this store; may be given several times"
        ),
    ] = None,
    only: Annotated[list[What] | None, typer.Option(help="Only this; may be given several times")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it. Without this nothing is changed")] = False,
    mirror: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="In place of a store: objects of this mirror that no entry of it names"),
    ] = "",
    grace_days: Annotated[
        float, typer.Option(min=1.0, help="With --mirror: younger objects stay; a push may be under way")
    ] = 7.0,
) -> None:
    """Show what of the store nobody needs any more, why, and how large it is; delete it with --delete.

    Trash; attempts that no kept recipe continues; the features of evaluations; checkpoints of complete models; what no
    kept recipe and no registered model is made from; archives and audio, as far as the recipes allow it (`keep`). Kept
    recipes: the shipped ones, those that were run with this store, and those of --keep. A recipe whose file cannot be
    read from here is kept as it was last run, until --forget names it.

    [bold]Examples[/]

      [cyan]wavlm gc[/]   only shows

      [cyan]wavlm gc --only trash --only snapshots --delete[/]

      [cyan]wavlm gc --mirror s3://speech/wavlm[/]   only shows, too
    """
    if mirror:
        if keep or forget or only:
            raise UsageError(
                "USAGE",
                "a mirror knows no recipes and no kinds of garbage; at --mirror; leave out --keep, --forget and "
                "--only: all goes that no entry names",
            )
        collect_mirror(mirror, grace_days, delete=delete)
        return
    from flows.cli.store import require_store
    from wavlm.pipeline.garbage.find import find_garbage, weigh
    from wavlm.pipeline.garbage.kept import find_kept
    from wavlm.pipeline.garbage.notes import find_notes
    from wavlm.pipeline.garbage.notes import forget as forget_note

    artifact_store = require_store(store)
    notes = find_notes(artifact_store, forget or [])
    kept = find_kept(artifact_store, keep or [], _ask_registry(artifact_store), [note.path for note in notes])
    found, remarks = find_garbage(artifact_store, kept)
    items = weigh([item for item in found if item.what in only]) if only else found
    names = ", ".join(item.recipe.name for item in kept.recipes)
    _show(artifact_store, items, [*remarks, f"kept: what is registered, and the recipes {names}"])
    if delete:
        for note in notes:
            forget_note(note, artifact_store)
        _delete(artifact_store, items, kept)
    else:
        total = size_text(sum(item.num_bytes for item in items))
        console.out.print(f"{total} can be freed: add --delete", highlight=False)


def _show(store: Store, items: Sequence[Item], remarks: Sequence[str]) -> None:
    table = Table("what", "where", "why", "size", box=None)
    table.columns[1].overflow = "fold"
    table.columns[3].justify = "right"
    for item in items:
        table.add_row(item.what, escape(str(item.path.relative_to(store.root))), item.why, size_text(item.num_bytes))
    if items:
        console.out.print(table)
    for line in remarks:
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)


def _delete(store: Store, items: Sequence[Item], kept: Kept) -> None:
    """Delete the items; one that cannot be deleted is no reason to keep the others."""
    from wavlm.pipeline.garbage.delete import delete_item

    freed, failures = 0, []
    for item in items:
        if failure := delete_item(item, store, kept):
            failures.append(failure)
        else:
            freed += item.num_bytes
    console.out.print(f"{size_text(freed)} freed", highlight=False)
    for failure in failures:
        console.print_error(failure)
    if failures:
        raise typer.Exit(failures[0].exit_code)


def _ask_registry(store: Store) -> Callable[[RegistrationFacts], bool]:
    """Whether a version counts as registered: unless the registry that it was made in says that it was deleted."""
    from wavlm.pipeline.garbage.kept import find_registrations

    found = [facts for _, facts in find_registrations(store)]
    if not found:
        return lambda _: True
    from tasks.registry.lookup import find_deleted

    try:
        deleted = find_deleted(store, found)
    except CodedError as error:
        console.err.print(f"what was registered stays, for the registry does not answer: {error}", markup=False)
        return lambda _: True
    return lambda facts: facts.run_id not in deleted
