"""`wavlm separate`: two streams of a recording, in neither of which two speak at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.recordings import names_of


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(separate)


def separate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Audio of any format and length")],
    *,
    system: Annotated[
        Path, typer.Option("--system", metavar="FOLDER", help="A fine-tuned system of the task ss, head conformer")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where NAME-1.flac and NAME-2.flac go")],
) -> None:
    """Write the voices of recordings as two streams each, 16 kHz FLAC, as long as the recording.

    [bold]Example[/]

      [cyan]wavlm separate meeting.wav --system store/finetune/css-small-… --out streams[/]
    """
    from wavlm.systems.separation.files import separate_file
    from wavlm.systems.separation.separate import open_separator

    names = names_of(files)
    opened = open_separator(system)
    for path in names.values():
        for made in separate_file(path, opened, out):
            console.out.print(str(made), highlight=False, soft_wrap=True)
