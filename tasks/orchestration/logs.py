"""Logs of our own code on the page of a flow run, whatever Prefect is configured to send."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

OURS = ("wavlm", "tasks", "flows")


@contextmanager
def send_logs() -> Iterator[None]:
    """Send what our loggers say, from INFO on, to the flow run that is under way. Without one nothing changes."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield
        return
    handler = _RunLogs(context.flow_run.id)
    handler.setFormatter(logging.Formatter("%(message)s"))
    loggers = [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        if not any(isinstance(item, APILogHandler) for item in logger.handlers):  # PREFECT_LOGGING_EXTRA_LOGGERS
            logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


class _RunLogs(APILogHandler):
    """Sends to the task run that speaks, and to the flow run what is said by a thread that belongs to none."""

    def __init__(self, flow_run_id: UUID) -> None:
        super().__init__(logging.INFO)
        self._flow_run_id = flow_run_id

    def emit(self, record: logging.LogRecord) -> None:
        if FlowRunContext.get() is None and not hasattr(record, "flow_run_id"):
            record.flow_run_id = str(self._flow_run_id)
        super().emit(record)
