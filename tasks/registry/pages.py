"""Addresses of pages of MLflow. There are pages where a server answers over http, and none for a database file."""

from __future__ import annotations

from urllib.parse import quote, urlsplit


def run_page(uri: str, run_id: str) -> str | None:
    """The page of a run."""
    return _page(uri, f"/runs/{quote(run_id, safe='')}")


def report_page(uri: str, experiment_id: str, run_id: str, file: str) -> str | None:
    """The page that shows a file of a run; that of the run itself if its experiment is not known."""
    if not experiment_id:
        return run_page(uri, run_id)
    return _page(uri, f"/experiments/{quote(experiment_id, safe='')}/runs/{quote(run_id, safe='')}/artifacts/{file}")


def version_page(uri: str, name: str, version: int) -> str | None:
    """The page of a version of a registered model."""
    return _page(uri, f"/models/{quote(name, safe='')}/versions/{version}")


def _page(uri: str, route: str) -> str | None:
    """The address without user and password."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return None
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place, path=parts.path.rstrip("/") + "/", query="", fragment=route).geturl()
