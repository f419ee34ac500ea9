"""A recogniser that fine-tuning trained: it writes what it was taught, with and without words, and in transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor

import wavlm
from tests.finetune.made import make_corpus, make_job, make_spec, say
from wavlm.engine.ranks import Ranks
from wavlm.errors import UsageError
from wavlm.evaluation.results.facts import read_results
from wavlm.evaluation.tasks.classification import Classifier
from wavlm.execution.stop import StopRequest
from wavlm.finetune.load import load_system
from wavlm.finetune.loop import tune
from wavlm.specs.heads import PooledLinearHead

pytestmark = [
    pytest.mark.full,
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask"),
]
DECODER = {"type": "lexicon", "language_model": {"type": "transcripts", "order": 2}, "beam": 20}
ASR = {"type": "asr", "alphabet": " abc", "decoder": DECODER}
FULL = {"updates": 60, "dev_every": 30, "frozen": "none", "peak_lr": 1e-2, "layer_drop": 0.0}
LEXICON = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-99\t<s>\t0
-1\t</s>
-0.3\tab\t0
-0.3\tcab\t0

\\2-grams:
-0.3\t<s> ab

\\end\\
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The words of the made-up corpus, each letter a tone, learned by the whole network."""
    root = tmp_path_factory.mktemp("recogniser")
    spec = make_spec(FULL, task=ASR, head={"type": "ctc"})
    torch.set_num_threads(1)
    job = make_job(make_corpus(root, each=6), root / "out", spec, snapshot_every=1000)
    tune(job, Ranks(0, 1, torch.device("cpu")), StopRequest())
    return root / "out"


def test_held_out_voices_are_recognised_and_both_results_are_reported(trained: Path) -> None:
    figures = {figure.name: figure.value for figure in read_results(trained).figures}
    assert list(figures) == ["wer", "cer", "wer_lm", "cer_lm"]
    assert figures["cer"] < 0.3  # the commonest text, ab, for each of the three words: 1.33 edits of 2.33 letters
    assert figures["wer_lm"] <= figures["wer"]


def test_a_waveform_is_transcribed_and_a_lexicon_decides_which_words_there_are(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "two.arpa").write_text(LEXICON)
    system = load_system(trained, device="cpu")
    wave = say("ba", 7)
    assert wavlm.transcribe(system, wave) == wavlm.transcribe(trained, wave) == "ba"
    decoder = wavlm.load_decoder(system, tmp_path / "two.arpa")
    assert wavlm.transcribe(system, wave, decoder) in ("ab", "cab")
    assert wavlm.transcribe(system, say("cab", 8), decoder) == "cab"


@torch.no_grad()
def test_the_exported_folder_has_the_same_logits_and_text_in_transformers(trained: Path, tmp_path: Path) -> None:
    folder = wavlm.export_recogniser(trained, tmp_path / "hf")
    system, wave = load_system(trained, device="cpu"), say("cab", 9)
    batch = system.batch(wave)
    ours = system.system.head(batch.states, batch.num_frames)
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    theirs = model(**processor(wave, sampling_rate=16000, return_tensors="pt")).logits
    assert float((theirs - ours).abs().max()) < 1e-5 * max(1.0, float(ours.abs().max()))
    assert processor.batch_decode(theirs.argmax(-1)) == [wavlm.transcribe(system, wave)]


def test_a_system_of_another_task_or_head_is_refused(trained: Path, tmp_path: Path) -> None:
    system = load_system(trained, device="cpu")
    other = replace(system, trainee=Classifier({"": ("a", "b")}, PooledLinearHead(type="pooled_linear")))
    with pytest.raises(UsageError, match="SYSTEM_TASK"):
        wavlm.transcribe(other, np.zeros(16000, np.float32))
    system.system.head = torch.nn.Identity()
    with pytest.raises(UsageError, match="SYSTEM_TASK"):
        wavlm.export_recogniser(system, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()
