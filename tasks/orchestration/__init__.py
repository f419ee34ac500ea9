"""Prefect: a local server, progress, and the summary of a run as artifacts."""
