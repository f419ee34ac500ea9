"""The report of an iteration: one HTML page that needs no network, to look at and to listen to."""

from __future__ import annotations

from wavlm.pipeline.report.content import Report
from wavlm.pipeline.report.gather import gather_report
from wavlm.pipeline.report.render import render, write_report

__all__ = ["Report", "gather_report", "render", "write_report"]
