"""`wavlm ui`: MLflow's and Prefect's pages on what a store holds."""

from __future__ import annotations

import typer

from flows.cli import console
from flows.cli.options import DEFAULT_STORE, StoreFolder


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ui)


def ui(store: StoreFolder = DEFAULT_STORE) -> None:
    """Open MLflow and Prefect on what a store holds, on this machine alone; Ctrl-C ends both.

    Prints their addresses. Servers that MLFLOW_TRACKING_URI and PREFECT_API_URL name are not started, only printed.

    [bold]Example[/]

      [cyan]wavlm ui[/]
    """
    from tasks.viewing import open_pages, wait_for_end
    from wavlm.pipeline.store import Store

    console.err.print("starting...", highlight=False)
    try:
        with open_pages(Store(store)) as pages:
            for page in pages:
                console.out.print(f"{page.name:8}{page.url}", markup=False, highlight=False, soft_wrap=True)
            if not any(page.process for page in pages):
                return
            console.err.print("Ctrl-C ends them", highlight=False)
            wait_for_end(pages)
    except console.InterruptedBySignal:
        console.err.print("ended", highlight=False)
