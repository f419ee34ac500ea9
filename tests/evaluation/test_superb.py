"""SUPERB's evaluations as they are shipped, from files in the publisher's layout to results; heads are narrow."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.corpora import of_folder
from tests.corpus.layouts.trees import write
from tests.corpus.superb.speech import speak
from tests.data_specs.golden import SPECS
from tests.evaluation.decoding.arpa import write_bigrams
from wavlm.corpus.build import build_corpus
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.run import Inputs, run_evaluation
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.evaluation import EvaluationSpec, FbankBaseline
from wavlm.specs.yaml import read_evaluation

FBANK = Subject("fbank", baseline=FbankBaseline(type="fbank"))
NARROW = {"projection": 4, "hidden": 4, "layers": 1}
SESSIONS = range(1, 6)


def speech_commands(root: Path) -> Path:
    main, test = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
    heard = ("yes/a1_nohash_0", "yes/b2_nohash_0", "bed/c3_nohash_0", "bed/d4_nohash_0")
    speak(root, *(f"{main}/{name}.wav" for name in heard))
    speak(root, f"{main}/_background_noise_/tap.wav", seconds=10.0)
    speak(root, *(f"{test}/{name}.wav" for name in ("yes/e5_nohash_0", "_unknown_/bird_4a_nohash_0", "_silence_/0")))
    write(root, f"{main}/validation_list.txt", "yes/a1_nohash_0.wav\nbed/d4_nohash_0.wav\n")
    return write(root, f"{main}/testing_list.txt", "")


def fluent_commands(root: Path) -> Path:
    rows = {
        part: [
            (f"wavs/speakers/{part}/{number}.wav", part, "Now", *intent)
            for number, intent in enumerate((("activate", "lights", "none"), ("increase", "volume", "kitchen")))
        ]
        for part in ("train", "valid", "test")
    }
    for part, lines in rows.items():
        speak(root, *(line[0] for line in lines))
        path = write(root, f"data/{part}_data.csv", "") / f"data/{part}_data.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerow(["", "path", "speakerId", "transcription", "action", "object", "location"])
            csv.writer(file).writerows([str(number), *line] for number, line in enumerate(lines))
    return root


def iemocap(root: Path) -> Path:
    for session in SESSIONS:
        dialog, lines = f"Ses0{session}F_impro01", []
        for number, label in enumerate(("neu", "sad")):
            name = f"{dialog}_F00{number}"
            speak(root, f"Session{session}/sentences/wav/{dialog}/{name}.wav")
            lines.append(f"[6.2901 - 8.2357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]\n")
        write(root, f"Session{session}/dialog/EmoEvaluation/{dialog}.txt", "% [TIMES]\n\n" + "\n".join(lines))
        texts = "".join(f"{dialog}_F00{number} [006.2901-008.2357]: Excuse me.\n" for number in range(2))
        write(root, f"Session{session}/dialog/transcriptions/{dialog}.txt", texts)
    return root


def librispeech(root: Path) -> Path:
    for number, part in enumerate(("train-clean-100", "dev-clean", "test-clean"), 1):
        chapter = f"{part}/{number}/7/{number}-7"
        speak(root, f"{chapter}-0000.flac", f"{chapter}-0001.flac", seconds=1.0)
        write(root, f"{chapter}.trans.txt", f"{number}-7-0000 THE CAT\n{number}-7-0001 A CAT\n")
    write(root, "librispeech-lexicon-200k-g2p.txt", "THE\tDH AH0\n")
    return write(root, "librispeech-lexicon-allothers-g2p.txt", "A EY1\nCAT K AE1 T\n")


def librispeech_alone(root: Path) -> Path:
    librispeech(root / "LibriSpeech")
    return root


def audio_snips(root: Path) -> Path:
    lines = []
    for part, voice in (("train", "Ivy"), ("valid", "Aditi"), ("test", "Brian")):
        for number in range(2):
            name = f"{voice}-snips-{part}-{number}"
            speak(root, f"{part}/{name}.wav", seconds=1.0)
            lines.append(f"{name} BOS RATE SIX EOS\tO O rating_value RateBook\n")
    return write(root, "all.iob.snips.txt", "".join(lines))


def run(name: str, make: Callable[[Path], Path], tmp_path: Path) -> EvaluationFacts:
    """A shipped evaluation on a tree in the layout of its corpus, with two updates per learning rate."""
    spec = read_evaluation(SPECS / "evaluations" / f"{name}.yaml")
    given = json.loads(spec.model_dump_json())
    given["head"] |= {field: value for field, value in NARROW.items() if field in given["head"]}
    given["fit"] |= {"learning_rates": [1e-2, 1e-3], "updates": 2, "batch": 2, "dev_every": 1}
    if "decoder" in given["task"]:
        given["task"]["decoder"]["language_model"]["path"] = str(write_bigrams(tmp_path))
    narrow = EvaluationSpec.model_validate_json(json.dumps(given))
    folder, out = make(tmp_path / "tree"), tmp_path / "out"
    corpus = of_folder(folder, spec.corpora[0].layout, role="evaluation", max_left_out=0.0)
    build_corpus(corpus, out / "downloads", out / "corpus", no_progress)
    build_shards(
        narrow.shards, out / "corpus", out / "shards", 1, no_progress, Intake(corpus.channels, corpus.role, root=folder)
    )
    labelled = LabelledCorpus("c", out / "corpus", out / "shards", 0)
    inputs = Inputs((labelled,), (), {"c": labelled.shards_dir}, FBANK, "fbank")
    (out / "results").mkdir()
    return run_evaluation(narrow, inputs, out / "cache", out / "results")


@pytest.mark.parametrize(
    ("name", "make", "num_tested", "figures"),
    [
        ("superb-ks", speech_commands, 3, ["accuracy"]),
        ("superb-ic", fluent_commands, 2, ["accuracy", "action_accuracy", "location_accuracy", "object_accuracy"]),
        ("superb-er", iemocap, 2 * len(SESSIONS), ["accuracy"]),
        ("superb-pr", librispeech, 2, ["per"]),
        ("superb-asr", librispeech_alone, 2, ["wer", "cer", "wer_lm", "cer_lm"]),
        ("superb-sf", audio_snips, 2, ["slot_type_f1", "slot_value_cer"]),
    ],
)
def test_a_shipped_evaluation_reads_its_publishers_tree_and_scores_its_test_part(
    name: str, make: Callable[[Path], Path], num_tested: int, figures: list[str], tmp_path: Path
) -> None:
    found = run(name, make, tmp_path)
    assert found.test is not None
    assert found.test.utterances == num_tested
    assert [figure.name for figure in found.figures] == figures
    assert {item.learning_rate for item in found.attempts} == {1e-2, 1e-3}
    assert found.learning_rate in {1e-2, 1e-3, None}
