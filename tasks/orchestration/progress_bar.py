"""Progress of a stage: a bar on a terminal, log lines elsewhere, and a progress artifact in Prefect.

Showing progress never delays the work: the Prefect artifact is written by a thread of its own, and
an API that does not answer costs a warning.
"""

from __future__ import annotations

import contextvars
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from rich.console import Console
from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from tasks.orchestration.whole import current_whole
from wavlm.execution.progress import Progress

WHOLE = "the whole run"
ARTIFACT_EVERY_SECONDS = 2.0
JOIN_SECONDS = 5.0

logger = logging.getLogger(__name__)

ShowDetail = Callable[[str], None]


@contextmanager
def show_progress(title: str) -> Iterator[tuple[Progress, ShowDetail]]:
    """Show how far the work named `title` is; yields a progress callback and a line for details.

    The first call with more than 0 says where the work begins: behind what an earlier attempt has done.
    The line (loss, accuracy, a file's name) stands beside the bar on a terminal.
    """
    with ExitStack() as stack:
        display = _bar(title) if sys.stderr.isatty() else _lines(title)
        progress, show_detail = stack.enter_context(display)
        if FlowRunContext.get() is None:
            yield progress, show_detail
            return
        publish = stack.enter_context(_artifact(title))

        def both(done: float, total: float) -> None:
            progress(done, total)
            publish(done, total)

        yield both, show_detail


@contextmanager
def _bar(title: str) -> Iterator[tuple[Progress, ShowDetail]]:
    with _display.open() as (bars, above):
        whole = current_whole()
        row = bars.add_task(title, total=None, detail="")
        has_begun = False

        def progress(done: float, total: float) -> None:
            nonlocal has_begun
            if done and not has_begun:  # what an earlier attempt has done says nothing about the speed of this one
                has_begun = True
                bars.reset(row, completed=int(done), total=total or None, detail="")
            bars.update(row, completed=done, total=total or None)
            if whole and above is not None and total:
                bars.update(above, completed=whole.percent(done / total))

        def show_detail(detail: str) -> None:
            bars.update(row, detail=detail)

        yield progress, show_detail
        last = bars.tasks[bars.task_ids.index(row)].total or 1  # also of a stage without steps, or with some left
        bars.update(row, completed=last, total=last)


class _Display:
    """The bars of this terminal: rich has one display at a time, which stages that run side by side share."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._bars: Bars | None = None
        self._above: TaskID | None = None
        self._num_stages = 0

    @contextmanager
    def open(self) -> Iterator[tuple[Bars, TaskID | None]]:
        """The bars, and the row of the whole run above them, if there is one."""
        with self._busy:
            self._num_stages += 1
            bars = self._bars or self._start()
        try:
            yield bars, self._above
        finally:
            with self._busy:
                self._num_stages -= 1
                if not self._num_stages:
                    self._bars = None
                    bars.stop()

    def _start(self) -> Bars:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        self._bars = Bars(*columns, console=Console(stderr=True))
        whole = current_whole()
        self._above = (
            self._bars.add_task(WHOLE, total=100.0, completed=int(whole.percent(0.0)), detail="") if whole else None
        )
        self._bars.start()
        return self._bars


_display = _Display()


@contextmanager
def _lines(title: str) -> Iterator[tuple[Progress, ShowDetail]]:
    started = time.monotonic()
    whole = current_whole()
    begun: tuple[float, float] | None = None  # when, and with how much that an earlier attempt has done
    tenth = -1
    detail = ""

    def progress(done: float, total: float) -> None:
        nonlocal tenth, begun
        now = time.monotonic()
        if done and begun is None:
            begun = now, done
        reached = int(10 * done / total) if total else 0
        if reached > tenth:
            tenth = reached
            left = ""
            if begun and begun[1] < done < total:
                left = f", {(now - begun[0]) * (total - done) / (done - begun[1]):.0f} s left"
            of_all = f" ({whole.percent(done / total if total else 0.0):.0f} % of all)" if whole else ""
            logger.info("%s: %d %% after %.0f s%s%s%s", title, 10 * reached, now - started, of_all, left, detail)

    def show_detail(text: str) -> None:
        nonlocal detail
        detail = f", {text}"

    yield progress, show_detail


@contextmanager
def _artifact(title: str) -> Iterator[Progress]:
    """A Prefect progress artifact that follows, at most every two seconds."""
    percent = 0.0
    ended = threading.Event()

    def follow() -> None:
        shown_percent = percent
        try:
            artifact_id = cast(  # it would be a coroutine only if an event loop ran here
                UUID,
                create_progress_artifact(shown_percent, key=slug(f"{_recipe()} progress {title}"), description=title),
            )
            while True:
                last = ended.wait(ARTIFACT_EVERY_SECONDS)
                if percent != shown_percent:
                    shown_percent = percent
                    update_progress_artifact(artifact_id, shown_percent)
                if last:
                    return
        except (httpx.HTTPError, PrefectException) as error:
            logger.warning("%s: progress is not shown in Prefect: %s", title, error)

    def progress(done: float, total: float) -> None:
        nonlocal percent
        percent = round(100 * min(1.0, done / total), 1) if total else 0.0

    # The artifact belongs to this run: the thread works in a copy of this context.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(follow,), daemon=True)
    thread.start()
    try:
        yield progress
        percent = 100.0
    finally:
        ended.set()
        thread.join(JOIN_SECONDS)


def _recipe() -> str:
    """The name of the recipe that the flow run is about: its iterations are not those of another recipe."""
    context = FlowRunContext.get()
    return Path((context.parameters or {}).get("recipe", "")).stem if context else ""


def slug(text: str) -> str:
    """A key in the form that Prefect takes: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
