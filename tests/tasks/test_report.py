"""Reports: made from a store, kept with a registered version, and fetched from the registry."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.register import register_model, sync
from tasks.report import fetch_report, make_reports
from wavlm.errors import BadDataError, UsageError
from wavlm.pipeline.plan import plan
from wavlm.pipeline.report import write_report
from wavlm.pipeline.summary import summarise

if TYPE_CHECKING:
    from tests.tasks.conftest import BuiltStore

# Prefect may be asked to follow our loggers; outside a flow it complains.
pytestmark = pytest.mark.filterwarnings("ignore:Logger 'tasks:UserWarning")
NAME = "WavLM-tiny"


def test_each_complete_iteration_gets_a_page(
    built: BuiltStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = built.models
    shutil.rmtree(built.store.path(second))
    with caplog.at_level(logging.INFO):
        found = list(make_reports(built.models, built.recipe, built.store, tmp_path / "pages"))
    assert found == [tmp_path / "pages/iteration1/report.html"]
    text = found[0].read_text()
    assert first.key in text
    assert "This model was not registered when the page was made." in text
    assert f"iteration 2 has no report yet: {second} is not complete" in caplog.text


def test_without_a_complete_model_there_is_no_page(built: BuiltStore, tmp_path: Path) -> None:
    for model in built.models:
        shutil.rmtree(built.store.path(model))
    with pytest.raises(BadDataError, match=r"INPUT_MISSING: .*run that stage first"):
        list(make_reports(built.models, built.recipe, built.store, tmp_path / "pages"))
    assert not (tmp_path / "pages").exists()


@pytest.mark.slow
def test_the_page_of_a_version_is_in_the_registry_and_says_what_became_of_it(
    built: BuiltStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.register.write_report", write_report)
    folder = register_model(built.registrations[1], built.store, built.recipe)

    kept = folder / "report.html"
    assert "version 1: candidate, champion, iteration-2" in kept.read_text()
    assert "the first champion: the next have to beat valid/loss 2.0000" in kept.read_text()
    fetched = fetch_report(f"{NAME}@champion", built.store, tmp_path)
    assert fetched == tmp_path / NAME / "version1/report.html"
    assert fetched.read_bytes() == kept.read_bytes()
    assert summarise(plan(built.recipe), built.store).reports == (kept,)
    # Made again from the store it is the same page.
    (again,) = make_reports(built.models[1:], built.recipe, built.store, tmp_path)
    assert again.read_bytes() == kept.read_bytes()


@pytest.mark.slow
def test_a_version_without_a_page_and_an_unknown_one_are_refused(built: BuiltStore, tmp_path: Path) -> None:
    sync(built.recipe, built.store)
    for page in (built.store.root / "registry" / "artifacts").rglob("report.html"):
        page.unlink()
    with pytest.raises(BadDataError, match=rf"REPORT_MISSING: {NAME}:2 was registered without a report; at sqlite:"):
        fetch_report(f"{NAME}:2", built.store, tmp_path / "pages")
    with pytest.raises(UsageError, match="VERSION_UNKNOWN"):
        fetch_report(f"{NAME}:7", built.store, tmp_path / "pages")
    assert not (tmp_path / "pages").exists()
