"""The page of a report as text: what it says, what it does not know, that texts stay texts, its size."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest

from tests.pipeline.report.stores import EVIL, EVIL_IMAGE, MadeStore, Size, make_store
from wavlm.errors import BadDataError
from wavlm.pipeline.artifacts import Artifact, Corpus, Labels, Mixtures, Model, Shards
from wavlm.pipeline.report import gather_report, render, write_report


class Reader(HTMLParser):
    """The elements of a page with their attributes, the text without script and style, and the rows of tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.script = ""
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.script += data
        elif "style" not in self._open:
            self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data.strip()

    def row(self, *begin: str) -> list[str]:
        """The one row that begins with these cells."""
        (found,) = [row for row in self.rows if row[: len(begin)] == list(begin)]
        return found


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    return Reader(page.read_text())


def test_the_page_says_what_the_store_holds(read: Reader) -> None:
    assert read.row("speech-01", "speech")[2:8] == ["3.96", "0.04", "900", "4", "0", "33.3 %"]
    assert read.row("speech-00", "1,000") == ["speech-00", "1,000", "993", "2", "5", "2.00", "0.00056", "0.0014", "0"]
    assert read.row("speech-00", "AUDIO_SILENT") == [
        "speech-00",
        "AUDIO_SILENT",
        "5",
        "recordings refused",
        "leave it out",
    ]
    assert read.row("speech-00", "2,000")[1:8] == ["2,000", "19", "4.00", "30.0 %", "50.0 %", "0.310", "0.400"]
    assert read.row("MFCC", "0.3000")[2] == "0.4000"
    assert read.row("layer 2", "within")[2:6] == ["0.1250", "0.0750", "0.1750", "600"]
    assert read.row("layer 2", "all")[2:] == ["valid", "30.0", "0.500", "48", "5.10", "2.50", "900"]
    assert "Advice: cluster layer 2 next: its PNMI is the highest, 0.450." in read.text
    assert "no ABX across speakers: 0 cells in 10 utterances" in read.text
    assert read.row("speech of another utterance") == ["speech of another utterance", "80", "10.0 %"]
    assert "counted in 6,000 of 6,000 labels" in read.text
    assert "Mean ratio to speech that was added: 0.5 dB; to noise: ? dB" in " ".join(read.text.split())
    assert "11 of 21 artifacts are those of earlier iterations" in read.text


def test_what_is_not_measured_is_no_number(read: Reader) -> None:
    """Of the held-out speech only the losses and accuracies are known, and only one corpus has phones."""
    whole = read.row("all held-out speech")
    assert whole[4] == "?"  # visible accuracy
    assert whole[7] == "?"  # utterances
    assert read.row("the fixed mixtures")[7] == "4"
    assert read.row("speech-01", "?", "2.1250")[2:7] == ["2.1250", "37.5 %", "?", "?", "?"]
    assert read.row("speech-01", "2,000")[6:] == ["no phones"] * 4


def test_what_is_no_longer_in_the_store_is_unknown_and_not_zero(made: MadeStore, tmp_path: Path) -> None:
    store = type(made.store)(shutil.copytree(made.store.root, tmp_path / "store"))
    for item in (*made.find(Corpus), *made.find(Shards), *made.find(Mixtures)):
        shutil.rmtree(store.path(item))
    found = Reader(render(gather_report(made.models[1], made.recipe, store)))
    assert found.row("speech-01", "speech")[2:7] == ["?"] * 5
    assert "? 3 corpora" in " ".join(found.text.split())
    assert "The fixed mixtures are no longer in the store." in found.text
    assert "no longer in the store" in found.row(str(made.find(Shards)[0]))


def test_a_model_that_is_not_complete_has_no_page(made: MadeStore, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"INPUT_MISSING: pretrain/iteration2-\w+ is not complete"):
        gather_report(made.models[1], made.recipe, type(made.store)(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Labels, "valid-000000.parquet"), (Mixtures, "listen/00000-utt.mixed.wav"), (Model, "metrics.jsonl")],
)
@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_damaged_file_ends_the_report(
    made: MadeStore, tmp_path: Path, kind: type[Artifact], name: str, harm: str
) -> None:
    """The model of the second iteration is at fault, or what only it uses."""
    store = type(made.store)(shutil.copytree(made.store.root, tmp_path / "store"))
    path = store.path(made.find(kind)[-1]) / name
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(b" " + path.read_bytes()[1:])
    with pytest.raises(BadDataError, match=rf"(CHECKSUM|LABEL_MISMATCH): .*{path.name}"):
        gather_report(made.models[1], made.recipe, store)


def test_texts_stay_texts(read: Reader) -> None:
    """Speakers, licences, descriptions, file names and verdicts of this store are written as markup."""
    for text in (
        f"speaker {EVIL}",
        f"speaker {EVIL_IMAGE}",
        f"CC0 {EVIL}",
        f"in {EVIL}0.wav",
        f"not better, says {EVIL}",
    ):
        assert text in " ".join(read.text.split())
    assert [name for name, _ in read.elements if name in ("script", "img", "iframe", "object")] == ["script"]
    assert not [key for _, attributes in read.elements for key in attributes if key.startswith("on")]
    assert [href for _, a in read.elements if (href := a.get("href") or "").startswith("javascript:")] == []


def test_the_policy_of_the_page_runs_its_own_script_alone_and_loads_nothing(read: Reader) -> None:
    (policy,) = [a["content"] for name, a in read.elements if name == "meta" and "http-equiv" in a]
    digest = base64.b64encode(hashlib.sha256(read.script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "http" not in policy
    sources = [
        value for _, a in read.elements for key, value in a.items() if key in ("src", "xlink:href", "srcset", "data")
    ]
    assert all(value is not None and value.startswith(("data:", "#")) for value in sources)


def test_the_same_store_gives_the_same_bytes_whatever_matplotlib_is_set_to(made: MadeStore, page: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "another", "font.size": 30, "axes.grid": False}):
        again = render(gather_report(made.models[1], made.recipe, made.store))
    assert again == page.read_text()


def test_no_two_elements_have_the_same_id(read: Reader) -> None:
    ids = [value for _, attributes in read.elements if (value := attributes.get("id"))]
    assert len(ids) > 100
    assert len(ids) == len(set(ids))


@pytest.mark.slow
@pytest.mark.full
def test_a_large_recipe_has_a_page_below_five_megabytes(tmp_path: Path) -> None:
    """40 corpora with 94,000 hours, a curve of 8,000 records, and recordings of noise, which no codec makes smaller."""
    effects = (
        "room",
        "gain",
        "codec",
        "mp3",
        "equaliser",
        "low_pass",
        "high_pass",
        "band_pass",
        "clipping",
        "gaussian_snr",
    )
    hours = 94_000 / sum(range(1, 41))
    size = Size(40, hours, updates=400_000, log_every=50, pair_seconds=15.6, effects=effects, loudness=0.9)
    made = make_store(tmp_path / "store", size)
    path = write_report(gather_report(made.models[1], made.recipe, made.store), tmp_path / "page")
    assert 1_000_000 < path.stat().st_size < 5_000_000
    text = path.read_text()
    assert "94,000.0 h" in text
    assert "more pairs lie in" in text
    # The one update with a huge gradient is still there.
    assert re.search(r"Gradient norm\. .*between 1 and 987\.5", text)
