"""SUPERB's evaluations as they are shipped, from files in the publishers' layouts to results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_specs.golden import SPECS
from tests.evaluation.decoding.arpa import write_bigrams
from tests.evaluation.superb_trees import TREES
from tests.tiny_specs import tiny_network
from wavlm.corpus.build import build_corpus
from wavlm.evaluation import paired_tasks
from wavlm.evaluation.facts import Gain
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.results.facts import EvaluationFacts, read_results
from wavlm.evaluation.run import Inputs, run_evaluation
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import CorpusSpec, FolderSource
from wavlm.specs.evaluation import EvaluationSpec, RandomBaseline
from wavlm.specs.yaml import find_suite, read_evaluation

RANDOM = Subject("random", baseline=RandomBaseline(type="random", network=tiny_network()))
PUBLISHED = frozenset({"superb-pr", "superb-asr", "superb-sid", "superb-asv", "superb-sd"})  # widths in the dry run
NARROW = {"projection": 4, "hidden": 8, "layers": 1, "width": 8, "heads": 2}
Dry = Callable[[str], tuple[EvaluationFacts, Path]]

# What each evaluation has to give, and of how many recordings or trials.
FIGURES = {
    "superb-pr": (["per"], 2),
    "superb-asr": (["wer", "cer", "wer_lm", "cer_lm"], 2),
    "superb-ood-asr-es": (["wer", "cer"], 2),
    "superb-ood-asr-ar": (["wer", "cer"], 2),
    "superb-ood-asr-zh": (["cer", "wer"], 2),
    "superb-ood-asr-spontaneous": (["wer", "cer"], 2),
    "superb-ks": (["accuracy", "macro_recall"], 3),
    "superb-qbe": (["mtwv", "atwv"], 2),
    "superb-sid": (["accuracy", "macro_recall"], 25),
    "superb-asv": (["eer", "min_dcf", "eer_best_on_test"], 6),
    "superb-sd": (["der", "der_overlap", "der_best_on_test"], 2),
    "superb-er": (["accuracy", "macro_recall"], 10),
    "superb-ic": (["accuracy", "action_accuracy", "location_accuracy", "object_accuracy"], 2),
    "superb-sf": (["slot_type_f1", "slot_value_cer"], 2),
    "superb-st": (["bleu"], 2),
    "superb-se": (["pesq", "stoi", "si_sdri", "si_sdr"], 2),
    "superb-ss": (["si_sdri", "si_sdr"], 2),
    "superb-vc-tef1": (["mel_mcd", "mel_mcd_unconverted"], 1),
    "superb-vc-tef2": (["mel_mcd", "mel_mcd_unconverted"], 1),
    "superb-vc-tem1": (["mel_mcd", "mel_mcd_unconverted"], 1),
    "superb-vc-tem2": (["mel_mcd", "mel_mcd_unconverted"], 1),
}
FAST = ("superb-ks", "superb-ic", "superb-pr")


def cut(spec: EvaluationSpec, root: Path) -> EvaluationSpec:
    """An evaluation with three updates at one learning rate, and a narrow head unless its own is cheap."""
    given = json.loads(spec.model_dump_json())
    if spec.name not in PUBLISHED:
        given["head"] |= {field: value for field, value in NARROW.items() if field in given["head"]}
    if spec.fit is not None:
        given["fit"] |= {"learning_rates": given["fit"]["learning_rates"][1:2], "updates": 3, "batch": 2}
        given["fit"] |= {"dev_every": 3, "warm_up": 0}
    if given["task"].get("decoder"):
        given["task"]["decoder"]["language_model"]["path"] = str(write_bigrams(root))
    given["single_layers"] = False
    return EvaluationSpec.model_validate_json(json.dumps(given))


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> Dry:
    """Run a shipped evaluation on small trees; corpora, shards and features are made once."""
    root = tmp_path_factory.mktemp("superb")

    def label(spec: CorpusSpec) -> LabelledCorpus:
        out = root / spec.name
        if not out.exists():
            folder = TREES[spec.name](out / "tree")
            there = spec.model_copy(update={"sources": (FolderSource(type="folder", path=str(folder)),)})
            build_corpus(there, root / "downloads", out / "corpus", no_progress)
            packing = find_suite(Path("superb")).evaluations[0].shards
            intake = Intake(spec.channels, spec.role, root=folder)
            build_shards(packing, out / "corpus", out / "shards", 1, no_progress, intake)
        return LabelledCorpus(spec.name, out / "corpus", out / "shards", 0)

    def run(name: str) -> tuple[EvaluationFacts, Path]:
        spec = read_evaluation(SPECS / "evaluations" / f"{name}.yaml")
        (corpus,) = map(label, spec.corpora)
        out = root / "results" / name
        out.mkdir(parents=True)
        inputs = Inputs((corpus,), (), {corpus.name: corpus.shards_dir}, RANDOM, "random")
        run_evaluation(cut(spec, root), inputs, root / "cache" / corpus.name, out)
        return read_results(out), out

    return run


def check(results: tuple[EvaluationFacts, Path], name: str) -> None:
    found, _ = results
    figures, num_tested = FIGURES[name]
    assert found.test is not None
    assert (found.evaluation, found.test.utterances) == (name, num_tested)
    assert [figure.name for figure in found.figures] == figures
    assert found.protocol in {"", name.replace("superb-", "superb/")}
    if found.task == "ss":  # two mixtures of two voices each
        assert found.test.speakers == 4
    if found.task != "qbe":
        assert [item.seed for item in found.attempts[:1]] == [0]


def test_every_evaluation_of_the_suite_is_run_dry() -> None:
    assert [it.name for it in find_suite(Path("superb")).evaluations] == list(FIGURES)


@pytest.mark.parametrize("name", FAST)
def test_a_shipped_evaluation_reads_its_publishers_tree_and_scores_its_test_part(name: str, dry_run: Dry) -> None:
    check(dry_run(name), name)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in FIGURES if name not in FAST])
def test_all_of_superb_runs_on_small_trees_of_its_corpora(
    name: str, dry_run: Dry, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = dry_run(name)
    check(results, name)
    if results[0].task in ("vc", "qbe"):  # of too few recordings to draw from
        return
    monkeypatch.setattr(paired_tasks, "FEWEST_EXAMPLES", 2)
    task = read_evaluation(SPECS / "evaluations" / f"{name}.yaml").task
    for figure in results[0].figures:
        gain = paired_tasks.find_task_gain("m", results, results, figure.name, task, 0.95)
        if figure.name in paired_tasks.COMPARED:  # what was predicted gives the figure again
            assert isinstance(gain, Gain), gain
            assert (gain.ours, gain.gain, gain.low, gain.high) == (pytest.approx(figure.value), 0.0, 0.0, 0.0)
