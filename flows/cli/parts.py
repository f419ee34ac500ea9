"""`wavlm parts`: a share of a stage's parts, for arrays of jobs that know nothing of each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from flows.cli import console, options
from flows.cli.options import DEFAULT_STORE, RecipeFile, StoreFolder
from flows.cli.runtime import OPTIONS, with_runtime
from wavlm.errors import UsageError
from wavlm.execution.runtime import Runtime
from wavlm.execution.share import Share
from wavlm.pipeline.artifacts import Kind

WITH_PARTS = ("corpus", "shards", "codebook", "labels", "evaluation")
SLURM = "SLURM_ARRAY_TASK_"
# What makes a part, or brings what it is made from. A share is an executor of its own, and trains nothing.
TAKEN = {"workers", "gpus", "wait_minutes", "scratch", "mirror", "cache", "cache_gigabytes"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(parts)


@with_runtime(*OPTIONS.keys() - TAKEN)
def parts(  # noqa: PLR0913 - one option each
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=f"Which stage: {', '.join(WITH_PARTS)}")],
    recipe: RecipeFile,
    *,
    rank: Annotated[int | None, typer.Option(min=0, help="Which share, from 0; as Slurm says if not given")] = None,
    of: Annotated[int | None, typer.Option(min=1, help="How many shares; as Slurm says if not given")] = None,
    iteration: options.Iteration = None,
    corpus: options.CorpusName = None,
    store: StoreFolder = DEFAULT_STORE,
    runtime: Runtime,
) -> None:
    """Make one share of a stage's parts, beside other jobs that make the others.

    Nothing is sealed: `wavlm stage` or `wavlm run` does that, which finds the parts and makes what is left. Of a corpus
    the first job downloads, unpacks and lists the files, and the others wait; then each looks at its share of them.
    The parts of an evaluation are features of the model; heads are fitted by the one that seals.

    [bold]Examples[/]

      [cyan]wavlm parts shards data_specs/recipes/demo.yaml --rank 0 --of 3[/]

      [cyan]sbatch --array=0-99 --wrap "wavlm parts shards my.yaml --store /shared/store"[/]
    """
    from flows.make import make_share, read_for_shares
    from flows.ready import check_ready
    from wavlm.pipeline.aside import set_aside
    from wavlm.pipeline.plan import plan
    from wavlm.pipeline.selection import select
    from wavlm.pipeline.store import Store

    share = choose_share(rank, of, os.environ)
    if kind not in WITH_PARTS:
        raise UsageError(
            "NO_PARTS",
            f"the stage {kind} has no parts to share; in the command; choose one of {', '.join(WITH_PARTS)}",
        )
    artifact_store = Store(store)
    resolved = read_for_shares(str(recipe), artifact_store, runtime, kind)
    aside = set_aside(select(plan(resolved), kind, iteration, corpus), resolved, artifact_store)
    artifacts = aside.kept
    check_ready(str(recipe), artifact_store, runtime, lambda _: artifacts)
    numbered, begin = [*enumerate(artifacts)], share.rank % max(1, len(artifacts))
    # Each rank begins with another one: several corpora are downloaded at once, and not all ranks wait for the first.
    for number, artifact in (*numbered[begin:], *numbered[:begin]):
        # One rank after the other is the first: a corpus of one part is not always made by rank 0.
        make_share(artifact, artifact_store, runtime, Share((share.rank + number) % share.of, share.of))
    console.out.print(
        f"rank {share.rank} of {share.of} is done; when all are: wavlm stage {kind} RECIPE", highlight=False
    )
    aside.refuse()


def choose_share(rank: int | None, of: int | None, environment: Mapping[str, str]) -> Share:
    """The share that was given, or else that of this job in a Slurm array, which may begin anywhere and have steps.

    Raises UsageError (SHARE_BAD).
    """
    if rank is None and of is None:
        return _share_of_array(environment)
    if rank is None or of is None or rank >= of:
        raise _refuse(
            f"--rank {rank} --of {of}", "in the command", "give both, with a rank from 0 to one less than --of"
        )
    return Share(rank, of)


def _share_of_array(environment: Mapping[str, str]) -> Share:
    try:
        number, count, first, last = (int(environment[SLURM + name]) for name in ("ID", "COUNT", "MIN", "MAX"))
        step = max(1, int(environment.get(f"{SLURM}STEP", "1")))
    except (KeyError, ValueError) as error:
        raise _refuse(
            "it is not given", "in the command, and no Slurm array has set it", "give --rank and --of"
        ) from error
    rank, rest = divmod(number - first, step)
    if rest or not 0 <= rank < count or (last - first) // step + 1 != count:
        raise _refuse(
            f"element {number} of an array of {count} from {first} to {last}",
            f"in {SLURM}ID and the like",
            "give --rank and --of, as a list with gaps does not say which of them this is",
        )
    return Share(rank, count)


def _refuse(what: str, where: str, advice: str) -> UsageError:
    return UsageError("SHARE_BAD", f"which share to make is not clear: {what}; {where}; {advice}")
