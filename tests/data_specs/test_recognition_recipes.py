"""The recipes of recognition have the numbers of their sources, and the letters of published models."""

from __future__ import annotations

import pytest

from tests.data_specs.golden import SPECS
from wavlm.export.ctc import vocabulary_of
from wavlm.specs.decoders import ArpaModel
from wavlm.specs.finetune import FinetuneSpec
from wavlm.specs.heads import CtcHead
from wavlm.specs.schedules import AdamSpec, TriStageRate
from wavlm.specs.splits import ByPart
from wavlm.specs.system_file import read_finetune
from wavlm.specs.tasks import SpeechRecognition

# fairseq, examples/wav2vec/config/finetuning/{base,vox}_{1h,10h,100h,960h}.yaml: max_update, lr,
# freeze_finetune_updates, mask_prob, mask_channel_prob, layerdrop. Batches are WavLM's: 8 x 200 s and 24 x 80 s (unilm
# issue 1742).
PUBLISHED = {
    "asr-1h-base": (13_000, 5e-5, 10_000, 0.65, 0.25, 0.1),
    "asr-10h-base": (20_000, 5e-5, 10_000, 0.65, 0.5, 0.05),
    "asr-100h-base": (80_000, 3e-5, 0, 0.65, 0.5, 0.1),
    "asr-960h-base": (320_000, 1e-4, 0, 0.5, 0.1, 0.1),
    "asr-1h-large": (13_000, 3e-4, 10_000, 0.75, 0.25, 0.1),
    "asr-10h-large": (20_000, 1e-4, 10_000, 0.75, 0.25, 0.1),
    "asr-100h-large": (80_000, 3e-5, 10_000, 0.5, 0.5, 0.1),
    "asr-960h-large": (320_000, 3e-5, 10_000, 0.5, 0.25, 0.1),
}
BATCHES = {"base": (1600, 200, "wavlm-base-plus"), "large": (1920, 80, "wavlm-large")}
# vocab.json of facebook/wav2vec2-base-960h, from number 4 on; fairseq's dict.ltr.txt has the same order.
LETTERS = list("|ETAONIHSRDLUMWCFGYPBVK'XJQZ")


def read(name: str) -> FinetuneSpec:
    return read_finetune(SPECS / "finetunes" / f"{name}.yaml")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_recipe_has_the_published_numbers(name: str) -> None:
    spec = read(name)
    (stage,) = spec.stages
    assert stage.time_mask is not None
    assert stage.channel_mask is not None
    found = (stage.updates, stage.peak_lr, stage.frozen_updates)
    assert (*found, stage.time_mask.probability, stage.channel_mask.probability, stage.layer_drop) == PUBLISHED[name]
    assert (stage.time_mask.length, stage.channel_mask.length) == (10, 64)
    assert (stage.batch_seconds, stage.group_seconds, spec.model) == BATCHES[name.rpartition("-")[2]]
    assert stage.schedule == TriStageRate(type="tri_stage", warmup=0.1, hold=0.4, initial_scale=0.01, final_scale=0.05)
    assert stage.optimizer == AdamSpec(type="adam", betas=(0.9, 0.98), eps=1e-8)
    assert stage.frozen == "cnn"
    assert spec.head == CtcHead(type="ctc", dropout=0.0, closes_words=True)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_recipe_is_chosen_by_dev_other_and_decoded_as_published(name: str) -> None:
    """HuBERT's examples/hubert/config/decode: beam 500, threshold 100, weight 2, word score -1."""
    spec = read(name)
    assert isinstance(spec.split, ByPart)
    assert (spec.split.dev, spec.split.test) == (("dev-other",), ("test-clean", "test-other"))
    assert isinstance(spec.task, SpeechRecognition)
    decoder = spec.task.decoder
    assert decoder is not None
    assert isinstance(decoder.language_model, ArpaModel)
    assert (decoder.beam, decoder.beam_threshold, decoder.lm_weight, decoder.word_score) == (500, 100.0, 2.0, -1.0)


@pytest.mark.parametrize("name", [*sorted(PUBLISHED), "asr-small"])
def test_letters_are_in_the_order_of_published_models(name: str) -> None:
    task = read(name).task
    assert isinstance(task, SpeechRecognition)
    assert list(vocabulary_of(task.alphabet))[1:] == LETTERS
