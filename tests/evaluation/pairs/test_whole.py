"""Whole evaluations about pairs and turns, from audio files to results, with tiny features and heads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from tests.corpus.corpora import of_folder
from tests.tiny_specs import tiny_network
from wavlm.corpus.build import build_corpus
from wavlm.errors import BadDataError
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.outputs import PREDICTIONS
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.run import FITS, Inputs, run_evaluation
from wavlm.evaluation.tasks.query import Searcher
from wavlm.execution.progress import no_progress
from wavlm.export.imported import build_model
from wavlm.nn import WavLM, save_model
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs.evaluation import EvaluationSpec, MfccBaseline, RandomBaseline
from wavlm.specs.labelled import RttmLayout
from wavlm.specs.layouts import GenericLayout

MFCC = Subject("mfcc", baseline=MfccBaseline(type="mfcc"))
RANDOM = Subject("random", baseline=RandomBaseline(type="random", network=tiny_network()))
SPEAKERS = {"ann": 110, "bob": 160, "cat": 220, "dan": 290, "eve": 370, "fay": 460}  # the pitch of each
FIT = {"learning_rates": [1e-2, 1e-3], "updates": 8, "batch": 4, "dev_every": 4}


def _say(speaker: str, number: int, seconds: float = 1.0) -> np.ndarray:
    """Harmonics of the speaker's pitch, whose strengths are the word."""
    rng = np.random.default_rng(number)
    times_s = np.arange(int(16000 * seconds)) / 16000
    waves = [rng.uniform(0.2, 1) * np.sin(2 * np.pi * SPEAKERS[speaker] * order * times_s) for order in range(1, 6)]
    return (0.1 * sum(waves) + 0.01 * rng.normal(size=len(times_s))).astype(np.float32)


def _voices(root: Path, each: int = 3) -> Path:
    rows = ["utt_id\tclass"]
    for speaker in SPEAKERS:
        (root / speaker).mkdir(parents=True)
        for number in range(each):
            sf.write(root / speaker / f"{number}.flac", _say(speaker, number), 16000)
            rows.append(f"{speaker}/{number}\tw{number}")
    (root / "labels.tsv").write_text("\n".join(rows) + "\n")
    return root


def _layout(**fields: object) -> GenericLayout:
    given = {
        "type": "generic",
        "audio": "**/*.flac",
        "speaker": "^(?P<speaker>[a-z]+)/",
        "transcripts": "labels.tsv",
        "text_column": "",
        "class_column": "class",
    }
    return GenericLayout.model_validate(given | fields)


def _label(folder: Path, layout: GenericLayout | RttmLayout, out: Path, number: int = 0) -> LabelledCorpus:
    spec = of_folder(folder, layout, role="evaluation", max_left_out=0.0)
    build_corpus(spec, out / "downloads", out / "corpus", no_progress)
    intake = Intake(spec.channels, spec.role, root=folder)
    build_shards(_spec().shards, out / "corpus", out / "shards", 1, no_progress, intake)
    return LabelledCorpus(f"c{number}", out / "corpus", out / "shards", number)


def _spec(**fields: object) -> EvaluationSpec:
    given: dict[str, object] = {
        "name": "e",
        "description": "d",
        "task": {"type": "asv", "min_train_seconds": 0.0},
        "corpora": [of_folder(Path("x"), _layout(), role="evaluation", max_left_out=0.0)],
        "split": {"type": "speakers", "dev": 0.34, "test": 0.34},
        "head": {"type": "xvector", "width": 8},
        "fit": FIT,
    }
    text = json.dumps(given | fields, default=lambda item: item.model_dump(mode="json"))
    return EvaluationSpec.model_validate_json(text)


def _run(spec: EvaluationSpec, tmp_path: Path, subject: Subject, *corpora: LabelledCorpus) -> EvaluationFacts:
    inputs = Inputs(corpora, (), {it.name: it.shards_dir for it in corpora}, subject, "subject")
    (tmp_path / "out").mkdir(exist_ok=True)
    return run_evaluation(spec, inputs, tmp_path / "cache", tmp_path / "out")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> LabelledCorpus:
    root = tmp_path_factory.mktemp("voices")
    return _label(_voices(root / "raw"), _layout(), root)


def test_voices_are_verified_and_the_reference_choice_is_another_figure(voices: LabelledCorpus, tmp_path: Path) -> None:
    facts = _run(_spec(), tmp_path, MFCC, voices)
    assert [figure.name for figure in facts.figures] == ["eer", "min_dcf", "eer_best_on_test"]
    eer, _, best = facts.figures
    assert best.value <= eer.value
    assert "of 2 heads" in best.note  # scored at updates 4 and 8
    assert facts.learning_rate in FIT["learning_rates"]  # type: ignore[operator]
    assert not (tmp_path / "out" / FITS).exists()
    rows = pq.read_table(tmp_path / "out" / PREDICTIONS).to_pylist()
    assert {row["speaker"] for row in rows}.isdisjoint(SPEAKERS.keys() - {row["speaker"] for row in rows})
    assert len(rows) == 6


def test_the_named_list_is_scored(tmp_path: Path) -> None:
    folder = _voices(tmp_path / "raw")
    rows = [("eve/0", "eve/1", 1), ("eve/0", "fay/1", 0), ("fay/2", "fay/0", 1), ("eve/2", "fay/0", 0)]
    text = "enrol\ttest\tis_target\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in rows)
    (folder / "pairs.tsv").write_text(text)
    parts = "utt_id\tclass\tpart\n" + "".join(
        f"{name}/{n}\tw\t{'test' if name in ('eve', 'fay') else 'dev'}\n" for name in SPEAKERS for n in range(3)
    )
    (folder / "labels.tsv").write_text(parts)
    corpus = _label(folder, _layout(partition_column="part", trials=("pairs.tsv",)), tmp_path)
    task = {"type": "asv", "trials": "pairs", "min_train_seconds": 0.0}
    split = {"type": "parts", "train": ["dev"], "dev_speakers": 0.5, "test": ["test"]}
    facts = _run(_spec(task=task, split=split), tmp_path, MFCC, corpus)
    assert facts.figures[0].note.startswith("4 trials of pairs, 2 of one speaker")
    with pytest.raises(BadDataError, match="TARGET_MISSING: there is no list of trials vox1-o, found pairs"):
        _run(_spec(task={**task, "trials": "vox1-o"}, split=split), tmp_path, MFCC, corpus)


def test_words_are_found_by_a_state_of_a_network_and_a_killed_search_goes_on(
    voices: LabelledCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = {"type": "speakers", "dev": 0.34, "test": 0.34}
    spec = _spec(task={"type": "qbe", "answers": "classes"}, head={"type": "none"}, fit=None, split=split)
    compare, compared = Searcher.compare, list[int]()

    def counted(self: Searcher, examples, features, state, device):  # type: ignore[no-untyped-def]
        compared.append(state)
        if compared == [0, 1]:
            raise KeyboardInterrupt
        return compare(self, examples, features, state, device)

    monkeypatch.setattr(Searcher, "compare", counted)
    with pytest.raises(KeyboardInterrupt):
        _run(spec, tmp_path, RANDOM, voices)
    facts = _run(spec, tmp_path, RANDOM, voices)
    best = int(facts.notes[-1].split()[4])
    assert compared == [0, 1, 1, 2, best]  # state 0 was kept; the best one reads the test part, once
    assert [figure.name for figure in facts.figures] == ["mtwv", "atwv"]
    assert [layer.weight for layer in facts.layers] == [float(state == best) for state in range(3)]
    assert max(layer.alone for layer in facts.layers) == facts.layers[best].alone  # type: ignore[type-var]
    assert facts.train is None


def test_conversations_are_made_and_real_ones_are_scored(voices: LabelledCorpus, tmp_path: Path) -> None:
    (tmp_path / "meetings").mkdir()
    both = np.concatenate([_say("ann", 0), np.zeros(8000, np.float32), _say("bob", 1)])
    both[12000:16000] += _say("bob", 2, 0.25)
    sf.write(tmp_path / "meetings/m1.flac", both, 16000)
    turns = (("ann", 0.0, 1.0), ("bob", 0.75, 0.25), ("bob", 1.5, 1.0))
    lines = [f"SPEAKER m1 1 {start} {length} <NA> <NA> {name} <NA> <NA>\n" for name, start, length in turns]
    (tmp_path / "meetings/m1.rttm").write_text("".join(lines))
    meetings = _label(tmp_path / "meetings", RttmLayout(type="rttm", partition_pattern="(?P<part>m)1"), tmp_path, 1)
    made = {"train": 6, "dev": 2, "test": 0, "dev_speakers": 0.34, "seconds": 3.0}
    spec = _spec(
        task={"type": "sd", "conversations": made},
        split={"type": "parts", "train": ["made-train"], "dev": ["made-dev"], "test": ["m"]},
        head={"type": "diarizer", "hidden": 8},
    )
    facts = _run(spec, tmp_path, MFCC, voices, meetings)
    assert [figure.name for figure in facts.figures] == ["der", "der_overlap", "der_best_on_test"]
    assert "2 s of speech by 2 speakers, of which 12.5 % overlap" in facts.figures[0].note
    assert facts.figures[0].note.endswith("no interval: one recording")
    assert (facts.train.utterances, facts.test.utterances) == (6, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("SPEAKER m1 1 0.5 -0.1 <NA> <NA> ann <NA> <NA>", "LAYOUT"),
        ("SPEAKER m1 1 7.5 0.5 <NA> <NA> ann <NA> <NA>", "TARGET_BAD: a turn of ann is from 7.5 to 8.0 s"),
    ],
)
def test_turns_that_cannot_be_are_refused(line: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    sf.write(tmp_path / "m/m1.flac", _say("ann", 0), 16000)
    (tmp_path / "m/m1.rttm").write_text(f"{line}\n")
    split = {"type": "parts", "train": ["l"], "dev": ["d"], "test": ["m"]}
    spec = _spec(task={"type": "sd"}, head={"type": "diarizer"}, split=split)
    with pytest.raises(BadDataError, match=found):
        _run(spec, tmp_path, MFCC, _label(tmp_path / "m", RttmLayout(type="rttm"), tmp_path))


def test_a_trial_of_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = _voices(tmp_path / "raw", 1)
    (folder / "pairs.tsv").write_text("enrol\ttest\tis_target\nann/0\tann/7\t1\n")
    with pytest.raises(BadDataError, match=r"ann/7"):
        _label(folder, _layout(trials=("pairs.tsv",)), tmp_path)


def test_recordings_without_turns_are_refused_where_no_conversations_are_made(
    voices: LabelledCorpus, tmp_path: Path
) -> None:
    split = {"type": "parts", "train": ["x"], "dev": ["y"], "test": ["z"]}
    spec = _spec(task={"type": "sd"}, head={"type": "diarizer"}, split=split)
    with pytest.raises(BadDataError, match="TARGET_MISSING: the recording ann__0 has no turns"):
        _run(spec, tmp_path, MFCC, voices)


def test_folds_are_refused_for_embeddings() -> None:
    with pytest.raises(ValueError, match="embeddings of the heads of several folds do not compare"):
        _spec(split={"type": "folds"})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> LabelledCorpus:
    """Two recordings per speaker, who is a part; what dan says nobody else says."""
    root = tmp_path_factory.mktemp("parts")
    folder = _voices(root / "raw", 2)
    rows = [f"{name}/{n}\t{'alone' if name == 'dan' else f'w{n}'}\t{name}\n" for name in SPEAKERS for n in range(2)]
    (folder / "labels.tsv").write_text("utt_id\tclass\tpart\n" + "".join(rows))
    return _label(folder, _layout(partition_column="part"), root)


@pytest.mark.parametrize(
    ("task", "train", "dev", "found"),
    [
        ("sid", "ann", "bob", "CLASS_SINGLE: all 2 training examples have the speaker ann, expected two or more"),
        ("sid", "ann bob", "cat", "CLASS_UNSEEN: the speaker cat, eve, fay is in the dev or test part"),
        ("ks", "ann bob", "dan", "CLASS_UNSEEN: the class alone is in the dev or test part"),
        ("ks", "ann bob", "nobody", r"SPLIT_EMPTY: the dev set has no example, of 12 .* parts ann, bob, cat, dan, eve"),
        ("asv", "ann bob", "dan", "METRIC_UNDEFINED: 1 of 1 trials of the dev part are of one speaker"),
        ("qbe", "ann bob", "dan", r"SPLIT_EMPTY: the dev set has no example, of 10 .* parts ann, bob, cat, eve, fay"),
    ],
)
def test_what_cannot_be_fitted_or_scored_is_refused_before_any_feature_is_computed(
    task: str, train: str, dev: str, found: str, parts: LabelledCorpus, tmp_path: Path
) -> None:
    split = {"type": "parts", "train": train.split(), "dev": [dev], "test": ["eve", "fay"]}
    heads = {"asv": {"type": "xvector", "width": 8}, "qbe": {"type": "none"}}
    fields = {"answers": "classes"} if task == "qbe" else {"min_train_seconds": 0.0} if task == "asv" else {}
    spec = _spec(
        task={"type": task, **fields},
        head=heads.get(task, {"type": "pooled_linear", "projection": 8}),
        split=split,
        fit=None if task == "qbe" else FIT,
    )
    with pytest.raises(BadDataError, match=found):
        _run(spec, tmp_path, MFCC, parts)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_whose_states_are_no_numbers_has_no_result(value: float, parts: LabelledCorpus, tmp_path: Path) -> None:
    model = WavLM(tiny_network(), 8)
    model.encoder.layers[1].fc1.bias.data[3] = value
    save_model(model, tmp_path / "model")
    head = {"type": "pooled_linear", "projection": 8}
    split = {"type": "parts", "train": ["ann", "bob"], "dev": ["cat"], "test": ["eve", "fay"]}
    with pytest.raises(BadDataError, match=r"FEATURES_BROKEN: layer 2 of c0/.* has values that are NaN or infinite"):
        _run(_spec(task={"type": "ks"}, head=head, split=split), tmp_path, Subject("m", tmp_path / "model"), parts)
    with pytest.raises(BadDataError, match=r"MODEL_UNUSABLE: 1 weights in 1 tensors are NaN or infinite, such as 1 of"):
        build_model(tmp_path / "model", tmp_path / "imported")
    assert not (tmp_path / "out/results.json").exists()
