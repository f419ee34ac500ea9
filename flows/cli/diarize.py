"""`wavlm diarize`: who speaks when, by a trained system; and `wavlm diarize-fit`, which tunes how it clusters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli import console
from flows.cli.recordings import names_of

logger = logging.getLogger(__name__)

COLLARS = (0.0, 0.25)

System = Annotated[Path, typer.Option("--system", metavar="FOLDER", help="A fine-tuned system of the task sd or asv")]
Speech = Literal["webrtc", "energy", "oracle"]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(diarize)
    app.command(name="diarize-fit")(diarize_fit)


def diarize(  # noqa: PLR0913 - one option each
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Audio of any format and length")],
    *,
    system: System,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RTTM", help="Where turns go; else they are printed")
    ] = None,
    method: Annotated[
        Literal["cosine", "plda", "vbx"] | None, typer.Option(help="How embeddings of windows are clustered")
    ] = None,
    speech: Annotated[
        Speech | None, typer.Option(help="What finds speech before windows are clustered; webrtc if not given")
    ] = None,
    speakers: Annotated[int | None, typer.Option(min=1, help="How many speak, if that is known")] = None,
    stop: Annotated[float | None, typer.Option(help="Where clustering of windows stops")] = None,
    threshold: Annotated[float | None, typer.Option(help="Probability above which a speaker of a block speaks")] = None,
    block_seconds: Annotated[float | None, typer.Option(min=1.0, help="Length of a block")] = None,
    reference: Annotated[Path | None, typer.Option(metavar="RTTM", help="What is right: the result is scored")] = None,
    uem: Annotated[Path | None, typer.Option(metavar="UEM", help="Which stretches are scored; else all")] = None,
) -> None:
    """Write who speaks when in recordings of any length, as RTTM.

    With a reference: DER and JER by number of speakers. Overlapped speech is scored; a collar is what is left out on
    each side of a boundary.

    [bold]Examples[/]

      [cyan]wavlm diarize meeting.wav --system store/finetune/sd-small-… --out meeting.rttm[/]

      [cyan]wavlm diarize call.flac --system store/finetune/asv-small-… --method vbx --speakers 2[/]
    """
    from wavlm.corpus.layouts.rttm import read_rttm_file
    from wavlm.corpus.layouts.rttm_lines import to_rttm
    from wavlm.storage.files import write_text
    from wavlm.systems.diarization.diarize import Choice, open_diarizer
    from wavlm.systems.diarization.diarize import diarize as find_turns

    names = names_of(files)
    right = read_rttm_file(reference) if reference else {}
    if speech == "oracle":
        _require_reference(names, right)
    opened = open_diarizer(system, Choice(method, speech, speakers, stop, threshold, block_seconds=block_seconds))
    found = {}
    for name, path in names.items():
        found[name] = find_turns(path, opened, reference=right.get(name, ()))
        logger.info("%s: %d turns of %d speakers", path, len(found[name]), len({turn[2] for turn in found[name]}))
    text = "".join(to_rttm(name, turns) for name, turns in found.items())
    if out is None:
        console.out.print(text, end="", highlight=False, soft_wrap=True, markup=False)
    else:
        write_text(out, text)
    if reference:
        _score(names, found, right, uem)


def diarize_fit(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Conversations: audio and RTTM files")],
    *,
    system: System,
    names: Annotated[
        Literal["everywhere", "recording"],
        typer.Option(help="Whether a speaker's name in RTTM is one voice in all conversations, or in its own alone"),
    ] = "everywhere",
) -> None:
    """Tune how a system of the task asv clusters: a PLDA, the stop of each method that is best, the settings of VBx.

    They have to be others than those that are scored. What comes out is kept in the system's folder.

    [bold]Example[/]

      [cyan]wavlm diarize-fit talks/corpus/dev --system store/finetune/asv-small-…[/]
    """
    from wavlm.systems.diarization.fit import fit_folder

    fitted = fit_folder(folder, system, names)
    stops = ", ".join(f"{name} {stop:g}" for name, stop in fitted.stops.items())
    vbx = f"Fa {fitted.vbx.evidence:g}, Fb {fitted.vbx.regularisation:g}, loop {fitted.vbx.loop:g}"
    console.out.print(f"best method: {fitted.method}; stops: {stops}; VBx: {vbx}", highlight=False, soft_wrap=True)


def _require_reference(names: dict[str, Path], right: dict[str, list[tuple[float, float, str]]]) -> None:
    from wavlm.errors import UsageError

    if missing := [name for name in names if name not in right]:
        raise UsageError(
            "REFERENCE_MISSING",
            f"the oracle needs the turns of {', '.join(missing)}, the reference has {', '.join(right) or 'none'}; in "
            "the command; give --reference with them, or --speech webrtc",
        )


def _score(
    names: dict[str, Path],
    found: dict[str, list[tuple[float, float, str]]],
    right: dict[str, list[tuple[float, float, str]]],
    uem: Path | None,
) -> None:
    """Print DER and JER of the recordings that the reference names."""
    from rich.table import Table

    from wavlm.corpus.audio.stream import probe
    from wavlm.corpus.layouts.rttm import read_uem_file
    from wavlm.evaluation.metrics.diarization import ScoredRecording, score_by_speakers

    scored = read_uem_file(uem) if uem else {}
    recordings = []
    for name, path in names.items():
        if name not in right:
            logger.warning("not scored: the reference does not name %s", name)
            continue
        info = probe(path)
        whole = [(0.0, info.num_samples / info.sample_rate_hz)]
        recordings.append(ScoredRecording(right[name], found[name], scored.get(name, whole)))
    if not recordings:
        return
    table = Table(
        "speakers", "recordings", *(f"DER, collar {collar:g} s each side" for collar in COLLARS), "JER", "count right"
    )
    for row in score_by_speakers(recordings, COLLARS):
        rates = (f"{100 * row.rates[collar]:.2f} %" for collar in COLLARS)
        name = "all" if row.speakers is None else str(row.speakers)
        table.add_row(name, str(row.recordings), *rates, f"{100 * row.jer:.2f} %", str(row.found_right))
    console.out.print(table)
