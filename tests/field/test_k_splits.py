"""Kind K, validation splits of the wrong size: two speakers alike in length gave 43 % where 5 % were asked for, and a
file whose header lies about its length became 98 % of the corpus. Nothing was said. A recipe without any held-out
speech failed after hours, where the first mixture was made.
"""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpus.corpora import of_folder as of_any_folder
from tests.corpus.corpora import tone
from wavlm.corpus.build import build_corpus
from wavlm.corpus.facts import CorpusFacts
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec, HoldOut
from wavlm.specs.layouts import GenericLayout
from wavlm.specs.tree import RecipeError
from wavlm.specs.yaml import read_recipe


def of_folder(folder: Path, **fields: object) -> CorpusSpec:
    return of_any_folder(folder, GenericLayout(type="generic", speaker="^(?P<speaker>[^/]+)/"), **fields)


def record(folder: Path, speakers: dict[str, int], seconds: float = 0.5) -> Path:
    """A tree <speaker>/<n>.wav: so many recordings of each speaker, all different."""
    for who, (speaker, count) in enumerate(speakers.items()):
        (folder / speaker).mkdir(parents=True)
        for clip in range(count):
            waveform = tone(seconds * (1 + clip % 3), 150 + 40 * who + clip)
            soundfile.write(folder / speaker / f"{clip}.wav", waveform, 16000)
    return folder


def held_share(facts: CorpusFacts) -> float:
    return facts.valid.microseconds / (facts.valid.microseconds + facts.train.microseconds)


@pytest.mark.parametrize("speakers", [("anna", "ben"), ("1", "2"), ("F01", "M01"), ("left", "right")])
def test_two_speakers_alike_in_length_do_not_lose_half_of_their_speech(
    tmp_path: Path, speakers: tuple[str, str]
) -> None:
    folder = record(tmp_path / "raw", dict.fromkeys(speakers, 20))
    facts = build_corpus(of_folder(folder, valid_fraction=0.05), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "recordings"
    assert 0 < held_share(facts) < 0.2


def test_many_speakers_are_held_out_whole_and_about_as_many_as_asked_for(tmp_path: Path) -> None:
    folder = record(tmp_path / "raw", {f"speaker{number}": 2 for number in range(200)}, seconds=0.1)
    facts = build_corpus(of_folder(folder, valid_fraction=0.1), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "speakers"
    assert 0.05 < held_share(facts) < 0.16
    assert facts.valid.recordings % 2 == 0


def test_one_long_speaker_below_the_share_is_not_most_of_the_corpus(tmp_path: Path) -> None:
    # `eve` has the lowest hash of these.
    folder = record(tmp_path / "raw", {"eve": 60, "ann": 4, "dan": 4, "fay": 4})
    facts = build_corpus(of_folder(folder, valid_fraction=0.2), tmp_path, tmp_path / "out", no_progress)
    assert facts.split_rule == "recordings"
    assert held_share(facts) < 0.4


def test_a_length_that_cannot_be_true_weighs_nothing(tmp_path: Path) -> None:
    folder = record(tmp_path / "raw", {f"speaker{number}": 5 for number in range(20)})
    path = folder / "speaker0/0.wav"
    with wave.open(str(path)) as file:
        samples = file.getnframes()
    blob = bytearray(path.read_bytes())
    blob[4:8] = blob[40:44] = np.uint32(0xFFFFFFF0).tobytes()  # a pipe: the length was not known
    path.write_bytes(blob)
    facts = build_corpus(of_folder(folder, valid_fraction=0.1), tmp_path, tmp_path / "out", no_progress)
    assert samples == 8000
    assert facts.hours < 0.05
    assert held_share(facts) < 0.3


def test_something_is_held_out_by_default(tmp_path: Path) -> None:
    folder = record(tmp_path / "raw", {"ann": 10, "bob": 10})
    fields = of_folder(folder).model_dump(exclude={"valid_fraction"})
    facts = build_corpus(CorpusSpec.model_validate(fields), tmp_path, tmp_path / "out", no_progress)
    assert facts.valid.recordings == 1


RECIPE = """name: tiny
description: ""
registry_name: tiny
speech: [quiet]
shards: {min_seconds: 1.0, max_seconds: 4.0}
%s
iterations:
  - codebook: {features: {type: mfcc}, num_clusters: 8}
    network: tiny
    train: {updates: 4, warmup_updates: 2, peak_lr: 1e-3, batch_seconds: 8.0, group_seconds: 8.0,
            max_crop_seconds: 2.0, valid_every: 3, log_every: 1}
    %s
"""


@pytest.mark.parametrize(
    ("top", "iteration", "message"),
    [
        ("mixtures: {num_utterances: 2, max_seconds: 2.0}", "mix: wavlm-base", "mixtures are made of held-out"),
        ("gate: {metric: valid/loss, higher_is_better: false}", "", "the gate compares valid/loss"),
    ],
)
def test_a_recipe_that_needs_held_out_speech_and_has_none_is_refused_when_it_is_read(
    tmp_path: Path, top: str, iteration: str, message: str
) -> None:
    for folder in ("corpora", "recipes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "corpora/quiet.yaml").write_text(
        "name: quiet\nrole: speech\ndescription: x\nhomepage: x\nlicense: x\ncitation: x\n"
        'sources: [{type: folder, path: wavs, revision: "1"}]\nlayout: {type: generic}\nvalid_fraction: 0.0\n'
    )
    path = tmp_path / "recipes/tiny.yaml"
    path.write_text(RECIPE % (top, iteration))
    with pytest.raises(RecipeError, match=message):
        read_recipe(path)
    path.write_text(RECIPE % ("", ""))
    read_recipe(path)


def test_a_kept_rule_that_holds_out_too_much_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = record(tmp_path / "raw", {"ann": 30})
    rule = HoldOut(by="recordings", below=0.4)
    for fraction, is_said in ((0.3, False), (0.05, True)):
        caplog.clear()
        spec = of_folder(folder, valid_fraction=fraction, valid_rule=rule)
        build_corpus(spec, tmp_path, tmp_path / f"out{fraction}", no_progress)
        assert ("where 5.0 % are asked for" in caplog.text) == is_said


def test_speech_that_is_all_held_out_or_a_copy_of_it_is_refused(tmp_path: Path) -> None:
    folder = record(tmp_path / "raw", {"ann": 1})
    for clip in range(1, 6):
        shutil.copy(folder / "ann/0.wav", folder / f"ann/{clip}.wav")
    spec = of_folder(folder, valid_fraction=0.1)
    with pytest.raises(BadDataError, match=r"VALID_TOO_LARGE: no recording of .* is left to train on: .* copies"):
        build_corpus(spec, tmp_path, tmp_path / "out", no_progress)
    with pytest.raises(BadDataError, match="VALID_TOO_LARGE: no recording"):
        build_corpus(of_folder(folder, valid_speakers=("ann",)), tmp_path, tmp_path / "listed", no_progress)
    build_corpus(of_folder(folder, role="noise", valid_fraction=0.1), tmp_path, tmp_path / "noise", no_progress)
