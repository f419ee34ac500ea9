"""The pages that a run shows in Prefect: one per iteration and plot, with everything in the page itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.orchestration import summary
from tasks.orchestration.media import MAX_PICTURE_BYTES, embed_picture, embed_sound
from tasks.registry.pages import report_page, run_page, version_page
from tests.tasks.conftest import BuiltStore, build, recipe_of
from wavlm.mixing.listen import find_pairs, write_pair
from wavlm.pipeline.artifacts import Mixtures, Registration
from wavlm.pipeline.plan import plan
from wavlm.pipeline.registration import REPORT_FILE, RegistrationFacts
from wavlm.pipeline.store import Store


@pytest.fixture
def built(tmp_path: Path) -> BuiltStore:
    """A store of everything but registrations. It has no registry, whose schema takes seconds to make."""
    store, recipe = Store(tmp_path / "store"), recipe_of(None)
    for artifact in plan(recipe):
        if not isinstance(artifact, Registration):
            store.make(artifact, lambda out, item=artifact: build(item, store, out))
    return BuiltStore(store, recipe)


@pytest.fixture
def shown_before() -> dict[str, SimpleNamespace]:
    """What Prefect shows from earlier runs, by key."""
    return {}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch, shown_before: dict[str, SimpleNamespace]) -> dict[str, str]:
    """Key -> content of what is published; a key that is used twice fails."""
    found: dict[str, str] = {}

    def create(content: object, key: str, description: str | None = None) -> None:
        assert key not in found, f"{description}: two pages with one key"
        found[key] = str(content)

    monkeypatch.setattr(summary, "create_markdown_artifact", create)
    monkeypatch.setattr(summary, "create_table_artifact", create)
    monkeypatch.setattr(summary, "FlowRunContext", SimpleNamespace(get=lambda: True))
    monkeypatch.setattr(summary, "Shown", SimpleNamespace(get=shown_before.get))
    return found


def test_each_plot_of_each_iteration_has_a_key_of_its_own_that_says_no_folder(
    built: BuiltStore, pages: dict[str, str]
) -> None:
    for number, registration in enumerate(built.registrations, 1):
        plots = built.store.partial_folder(registration) / "plots"  # it waits for the registry
        plots.mkdir(parents=True)
        (plots / "curves.png").write_bytes(b"curves %d" % number)
    summary.publish(built.recipe, built.store)
    for number in (1, 2):
        assert base64.b64encode(b"curves %d" % number).decode() in pages[f"tiny-iteration-{number}-curves"]
        assert f"tiny-iteration-{number}-scores" in pages
    keys = {artifact.key for artifact in plan(built.recipe)}
    assert not [page for page in pages if any(key in page for key in keys)]
    assert not [page for page, content in pages.items() if "file:" in content]


def test_what_was_mixed_can_be_listened_to_in_the_page(
    built: BuiltStore, pages: dict[str, str], shown_before: dict[str, SimpleNamespace]
) -> None:
    (mixtures,) = {item.key: item for item in plan(built.recipe) if isinstance(item, Mixtures)}.values()
    wave = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    folder = built.store.path(mixtures) / "listen"
    for name in ("effect-room", "00001-ru"):
        write_pair(folder, name, wave, wave)
    summary.publish(built.recipe, built.store)
    assert [pair.name for pair in find_pairs(folder)] == ["00001-ru", "effect-room"]
    assert pages["tiny-listen-paper"].count('src="data:audio/mpeg;base64,') == 4

    # A nightly run that changes nothing does not store the page once more.
    shown_before["tiny-listen-paper"] = SimpleNamespace(data=pages["tiny-listen-paper"])
    pages.clear()
    summary.publish(built.recipe, built.store)
    assert "tiny-listen-paper" not in pages
    assert "tiny-summary" in pages
    shown_before["tiny-listen-paper"] = SimpleNamespace(data="of other mixtures")
    pages.clear()
    summary.publish(built.recipe, built.store)
    assert "tiny-listen-paper" in pages


@pytest.mark.parametrize("uri", ["https://mlflow.example.org", "registry/mlflow.db"])
def test_the_report_of_each_iteration_is_linked(
    uri: str, built: BuiltStore, pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if uri.startswith("https"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(summary, "read_current", None)  # nobody answers at this address

    def register(out: Path, number: int) -> RegistrationFacts:
        (out / REPORT_FILE).write_text("a page")
        return RegistrationFacts(
            name="WavLM-tiny", version=number, run_id=f"run{number}", uri=uri, source="", sha256="", aliases=(),
            champion="", experiment_id="7",
        )  # fmt: skip

    for number, item in enumerate(built.registrations, 1):
        built.store.make(item, lambda out, number=number: register(out, number))
    summary.publish(built.recipe, built.store)
    summary.publish_work(built.recipe, built.store, plan(built.recipe), [])
    for number, item in enumerate(built.registrations, 1):
        page = pages[f"tiny-iteration-{number}-report"]
        assert f"`{built.store.path(item) / REPORT_FILE}`" in page
        link = f"[report](https://mlflow.example.org/#/experiments/7/runs/run{number}/artifacts/report.html)"
        (row,) = (line for line in pages["tiny-work"].splitlines() if item.key in line)
        assert (link in page, row.endswith(f"<br>{link} |")) == (uri.startswith("https"),) * 2


def test_a_row_of_what_was_made_is_broken_and_escaped(
    built: BuiltStore, pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = "a|b; <script>alert(1)</script> and many more words than one line of a table can show"
    monkeypatch.setattr(summary, "describe_outcome", lambda *_: outcome)
    (corpus, *_) = plan(built.recipe)
    summary.publish_work(built.recipe, built.store, [corpus], [])
    row = pages["tiny-work"].splitlines()[2]
    assert row.count(" | ") == 2
    assert "a&#124;b<br>&lt;script&gt;" in row
    assert max(len(line) for line in row.split("<br>")) < 80


def test_a_sound_becomes_an_mp3_of_the_same_tone(tmp_path: Path) -> None:
    time_s = np.arange(32000) / 16000
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * time_s), 16000)
    kind, _, data = embed_sound(path).partition(";base64,")
    assert kind == "data:audio/mpeg"
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert len(data) < path.stat().st_size / 3
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(spectrum.argmax() * rate_hz / len(samples) - 440) < 1


def test_a_large_picture_becomes_a_small_one_of_the_same_shape(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 1600, 3), np.uint8)
    path = tmp_path / "large.png"
    Image.fromarray(noise).resize((3200, 800)).save(path)
    assert path.stat().st_size > 10 * MAX_PICTURE_BYTES
    kind, _, data = embed_picture(path).partition(";base64,")
    assert kind == "data:image/webp"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1000, 250)
    assert len(data) < path.stat().st_size / 10
    small = tmp_path / "small.png"
    Image.fromarray(noise[:8, :8]).save(small)
    assert base64.b64decode(embed_picture(small).partition(",")[2]) == small.read_bytes()


def test_pages_of_mlflow_are_linked_where_a_server_has_them_without_its_password() -> None:
    uri = "https://me:secret@mlflow.example.org/tracking/"
    assert run_page(uri, "ab12") == "https://mlflow.example.org/tracking/#/runs/ab12"
    assert version_page(uri, "WavLM base/1", 3) == (
        "https://mlflow.example.org/tracking/#/models/WavLM%20base%2F1/versions/3"
    )
    assert report_page(uri, "7", "ab12", "report.html") == (
        "https://mlflow.example.org/tracking/#/experiments/7/runs/ab12/artifacts/report.html"
    )
    assert report_page(uri, "", "ab12", "report.html") == run_page(uri, "ab12")
    assert run_page("sqlite:////store/registry/mlflow.db", "ab12") is None
