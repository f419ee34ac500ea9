"""`wavlm init`: from speech that is there to a recipe that can be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress as Bars
from rich.table import Table

from flows.cli import console, options
from wavlm.errors import UsageError

if TYPE_CHECKING:
    from wavlm.pipeline.init.continuing import Continued
    from wavlm.pipeline.init.look import Holdings
    from wavlm.pipeline.init.project import Project

LAYER = re.compile(r"probe/layer(\d+)/pnmi")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(init)


def _check_name(name: str) -> str:
    if name and not NAME.fullmatch(name):
        raise typer.BadParameter("expected lower-case letters, digits, - and _, beginning with a letter or digit")
    return name


def init(  # noqa: PLR0913 - one option each
    place: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_MANIFEST", help="The folder that holds the speech, or one manifest")
    ],
    *,
    continue_from: Annotated[
        str,
        typer.Option("--continue", metavar="MODEL", help="A model folder, a shipped name, or NAME@ALIAS to go on from"),
    ] = "",
    weekly: Annotated[
        bool, typer.Option("--weekly", help="With --continue: for wavlm refresh, from the best version so far")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the recipe goes")] = Path(),
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of corpus, recipe and model; that of the folder if not given", callback=_check_name
        ),
    ] = "",
    corpus: Annotated[
        str, typer.Option(metavar="NAME", help="Only a recipe, for the corpus DIR/corpora/NAME.yaml that is there")
    ] = "",
    layout: Annotated[str, typer.Option(metavar="TYPE", help="How the files are arranged, where it is not clear")] = "",
    audio_root: Annotated[
        str, typer.Option("--audio-root", metavar="DIR", help="Where the paths in manifests start, if it is not found")
    ] = "",
    gpus: options.Gpus = 0,
    gpu_memory: Annotated[
        float, typer.Option(metavar="GB", min=0, help="Memory of a GPU; 0: ask nvidia-smi, else 16")
    ] = 0.0,
    hours_per_week: Annotated[
        float, typer.Option(metavar="H", min=0, help="Hours that this machine may train per week; 0: 12, with GPUs 120")
    ] = 0.0,
    store: options.StoreFolder = options.DEFAULT_STORE,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there")] = False,
) -> None:
    """Look at the speech in a folder, and write a corpus spec and a recipe for it, with a reason for each number.

    A folder of audio, or what Kaldi, ESPnet, lhotse, NeMo, fairseq, datasets, WebDataset and tables list or hold. The
    heads of all files are read, and half a minute of a hundred of them is listened to. Nothing is changed.
    Written are DIR/NAME.yaml, DIR/corpora/NAME.yaml, and DIR/NAME.png with the lengths of the recordings.

    [bold]Examples[/]

      [cyan]wavlm init my-speech[/]   then: wavlm run my-speech.yaml

      [cyan]wavlm init /data/calls --out specs --gpus 4 --hours-per-week 48[/]

      [cyan]wavlm init my-speech --continue wavlm-base-plus --gpus 1[/]   a released model, on your own speech

      [cyan]wavlm init my-speech --continue wavlm-mine@champion --weekly[/]   then: wavlm refresh my-speech.yaml

      [cyan]wavlm init egs/mine/data/train/wav.scp --audio-root egs/mine[/]
    """  # fmt: skip
    from wavlm.execution.processes import num_cores
    from wavlm.pipeline.init.look import Question, look_at
    from wavlm.pipeline.init.machine import describe_machine
    from wavlm.pipeline.init.project import plan_project, write_project

    question = Question.of(place, layout, audio_root)
    project = plan_project(question, out, name, corpus, force=force)
    model = _find_model(continue_from, out, store, weekly=weekly)
    with Bars(console=console.err, transient=True) as bars:
        row = bars.add_task("looking", total=None)
        found = look_at(question, num_cores(), lambda done, total: bars.update(row, completed=done, total=total))
    _show(found, project)
    write_project(project, found, describe_machine(gpus, gpu_memory, hours_per_week), model, weekly=weekly)
    _say_next(found, project, weekly=weekly, is_new=model is None)


def _find_model(text: str, out: Path, store: Path, *, weekly: bool) -> Continued | None:
    """The model to continue from. Raises UsageError (USAGE) for --weekly without one."""
    if not text:
        if weekly:
            raise UsageError("USAGE", "--weekly needs a model; at wavlm init; give --continue MODEL")
        return None
    from wavlm.pipeline.init.continuing import is_reference, of_place, of_version

    reference = text.removeprefix("registry:").strip()
    if not is_reference(reference):
        return of_place(text, out)
    from tasks.registry.lookup import find_network, show_model
    from wavlm.pipeline.store import Store

    artifact_store = Store(store)
    network = find_network(artifact_store, reference)
    (version,) = show_model(artifact_store, reference).versions
    scores = {int(found[1]): value for key, value in version.metrics.items() if (found := LAYER.fullmatch(key))}
    pinned = f"{reference.partition('@')[0]}:{version.version}" if weekly and "@" in reference else reference
    return of_version(pinned, network, scores)


def _show(found: Holdings, project: Project) -> None:
    from wavlm.pipeline.init.tell import describe_found, remark

    table = Table(title=escape(f"{project.name}, in {found.root}"), box=None, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, text in describe_found(found):
        table.add_row(what, escape(text))
    console.out.print(table)
    for line in remark(found):
        console.out.print(f"?? {line}", markup=False, highlight=False, soft_wrap=True)


def _say_next(found: Holdings, project: Project, *, weekly: bool, is_new: bool) -> None:
    from wavlm.pipeline.init.recipe_advice import warn_of_size

    command = "refresh" if weekly else "run"
    if (warning := warn_of_size(found.hours)) and is_new:
        console.out.print(f"?? {warning}", markup=False, highlight=False, soft_wrap=True)
    for path, what in (
        (project.corpus, "the corpus: write its licence" if project.is_new else "the corpus, as it was"),
        (project.picture, "the lengths"),
        (project.recipe, f"the recipe; next: wavlm {command} {project.recipe}"),
    ):
        console.out.print(f"{path}   {what}", markup=False, highlight=False, soft_wrap=True)
