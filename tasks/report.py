"""Reports: pages about models, made from the store or fetched from the registry, where registration put them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.registry.lookup import looking
from tasks.registry.reference import find_version
from tasks.registry.runs import fetch_file, has_file
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.registration import REPORT_FILE, without_password
from wavlm.pipeline.report import gather_report, write_report
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.storage.files import write_text

_log = logging.getLogger(__name__)


def make_reports(models: Sequence[Model], recipe: Recipe, store: Store, out: Path) -> Iterator[Path]:
    """Write `<out>/iteration<N>/report.html` for each model that is complete; what is not is logged.

    Raises BadDataError (INPUT_MISSING) if none is.
    """
    trained = [model for model in models if store.is_complete(model)]
    if not trained:
        store.require(models[0])
    for model in models:
        if model in trained:
            yield write_report(gather_report(model, recipe, store), out / model.name)
        else:
            _log.info("iteration %d has no report yet: %s is not complete", model.iteration, model)


def fetch_report(reference: str, store: Store, out: Path) -> Path:
    """Write `<out>/<name>/version<N>/report.html`, the page that was registered with a version.

    `NAME` alone means its champion, or its newest version. Raises UsageError if there is no such version, BadDataError
    (REPORT_MISSING) if it has no page.
    """
    with looking(store, reference) as registry:
        version = find_version(registry, reference)
        if not version.run_id or not has_file(registry, version.run_id, REPORT_FILE):
            raise BadDataError(
                "REPORT_MISSING",
                f"{version.reference} was registered without a report; at {without_password(registry.uri)}; make it "
                "where its store is: wavlm report RECIPE",
            )
        with tempfile.TemporaryDirectory() as folder:
            page = fetch_file(registry, version.run_id, REPORT_FILE, Path(folder)).read_text()
    path = out / version.name.replace("/", "_") / f"version{version.version}" / REPORT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path
