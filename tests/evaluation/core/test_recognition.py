"""Recognition by CTC: it learns a language that is made up, and its scores and refusals are those worked by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.evaluation.core.made import MadeFeatures
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.heads.spec_augment import augment
from wavlm.evaluation.labelled import Row
from wavlm.evaluation.tasks.recognition import Recognition
from wavlm.evaluation.tasks.slots import mark_slots, read_slots, score_slots
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.evaluation.tasks.texts import normalize_text
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.heads import BlstmHead, FrameLinearHead
from wavlm.specs.tasks import (
    OtherRecognition,
    PhonemeRecognition,
    SlotFilling,
    SpecAugmentSpec,
    SpeechRecognition,
)

SIZE = Size(num_states=2, num_channels=6, hop_samples=320)
LETTERS = "abcd"


def _row(text: str | None = None, **target: object) -> Row:
    return Row("r1", "s1", "train", text, None, target, 16000, Take(0, 0))  # type: ignore[arg-type]


def _spoken(count: int) -> tuple[list[Example], MadeFeatures]:
    """Utterances in which each letter is a one-hot channel of state 1 for three frames, and a silence follows."""
    rng = np.random.default_rng(0)
    examples, values = [], {}
    for number in range(count):
        letters = [LETTERS[place] for place in rng.integers(0, 4, size=rng.integers(2, 6))]
        frames = np.zeros((2, 5 * len(letters), 6), np.float32)
        frames[0] = rng.normal(size=frames[0].shape)  # state 0 is noise
        for place, letter in enumerate(letters):
            frames[1, 5 * place : 5 * place + 3, LETTERS.index(letter)] = 4.0
            frames[1, 5 * place + 3 : 5 * place + 5, 4] = 4.0
        key = f"u{number}"
        examples.append(Example(key, f"s{number % 3}", "", 1600 * len(letters) + 400, Take(0, number), letters))
        values[key] = frames
    return examples, MadeFeatures(values)


@pytest.mark.parametrize(
    "head", [FrameLinearHead(type="frame_linear", projection=8), BlstmHead(type="blstm", projection=8, hidden=8)]
)
def test_a_made_up_language_is_learned(tmp_path: Path, head: FrameLinearHead | BlstmHead) -> None:
    examples, features = _spoken(40)
    trainee = Recognition(PhonemeRecognition(type="pr"), head).begin(examples[:30], examples[30:])
    fit = FitSpec(learning_rates=(3e-2,), updates=160, batch=8, dev_every=80, patience=9)
    fitted = fit_head(trainee, Sets(examples[:30], examples[30:], features, SIZE), fit, 3e-2, 0, tmp_path / "fit")
    (figure,) = trainee.score(examples[30:], predict(trainee, fitted.head, examples[30:], features, "cpu"))
    assert figure.name == "per"
    assert figure.value < 0.05
    weights = torch.softmax(fitted.head.get_parameter("sum.weights"), dim=0)
    assert weights[1] > weights[0]  # the state that is no noise


def test_the_figures_are_those_worked_by_hand() -> None:
    """ "the cat sat" against "the cat": one deletion of three words; four deletions of eleven characters."""
    head = FrameLinearHead(type="frame_linear")
    examples = [Example("u", "s", "", 16000, Take(0, 0), list("the cat sat"))] * 2
    said = [list("the cat"), list("the cat sat")]
    wer, cer = Recognition(SpeechRecognition(type="asr"), head).begin(examples, ()).score(examples, said)
    assert (wer.name, cer.name) == ("wer", "cer")
    assert wer.value == pytest.approx(1 / 6)
    assert cer.value == pytest.approx(4 / 22)
    mandarin = Recognition(OtherRecognition(type="ood_asr", score="cer"), head).begin(examples, ())
    assert [figure.name for figure in mandarin.score(examples, said)] == ["cer", "wer"]


def test_texts_are_changed_only_as_the_spec_says() -> None:
    spec = SpeechRecognition(type="asr", letters="lower", drop=",.!")
    task = Recognition(spec, FrameLinearHead(type="frame_linear"))
    assert "".join(task._symbols_of(_row("Voilà,  CAFE\u0301 !"), "c")) == "voilà café"


# What `normalize` of s3prl's downstream/ctc/corpus/common_voice_preprocess.py gives, which was run for it.
NORMALIZED = [
    ("es", "¿Qué tal, señor?", "QUÉ TAL SEÑOR"),
    ("es", "El año 2020—¡ya!", "EL AÑO 2020 YA"),
    ("es", "O\u2019Higgins, d'accord", "O'HIGGINS D'ACCORD"),
    ("es", "Un し raro", ""),
    ("es", "cafe\u0301 ½ \ufb01n", "CAFÉ 1\u20442 FIN"),
    ("ar", "نعم، هنا؟", "نعم هنا"),
    ("ar", "«مرحبا»—أهلا", "مرحبا أهلا"),
    ("ar", "لا (OK)", ""),
    ("zh-CN", "你好\uff0c世界。", "你好世界"),
    ("zh-CN", "\u3127 個 人", "一個人"),
    ("zh-CN", "用 GPS 導航", ""),
]


@pytest.mark.parametrize(("language", "text", "wanted"), NORMALIZED)
def test_texts_of_common_voice_are_normalized_as_the_reference_does(language: str, text: str, wanted: str) -> None:
    assert normalize_text(text, language) == wanted


def test_a_text_of_other_letters_is_left_out_and_counted() -> None:
    head = FrameLinearHead(type="frame_linear")
    task = Recognition(OtherRecognition(type="ood_asr", normalize_as="ar"), head)
    rows = [Row(f"r{n}", "s", "test", text, None, {}, 16000, Take(0, n)) for n, text in enumerate(("نعم", "OK", "لا"))]
    found = task.collect([SimpleNamespace(name="c", rows=rows)])  # type: ignore[list-item]
    assert [item.key for item in found] == ["c/r0", "c/r2"]
    (wer, _) = task.begin(found, ()).score(found, [item.target for item in found])
    assert wer.note.startswith("1 recordings of the corpora have a text of other letters")


def test_of_frames_every_10_ms_only_every_second_one_counts_where_the_spec_says_so() -> None:
    spec = OtherRecognition(type="ood_asr", every_20_ms=True)
    head = BlstmHead(type="blstm", projection=4, hidden=4, tanh_projections=True)
    example = Example("u", "s", "", 16000, Take(0, 0), ["a", "b"])
    trainee = Recognition(spec, head).begin([example], ())
    size = Size(num_states=1, num_channels=3, hop_samples=160)
    torch.manual_seed(0)
    made = trainee.make_head(size)
    states = torch.randn(1, 1, 9, 3)
    other = states.clone()
    other[:, :, 1::2] = 7.0
    losses = [trainee.loss(made.eval(), Batch((example,), it, torch.tensor([9]))).item() for it in (states, other)]
    assert losses[0] == losses[1] > 0
    at_20_ms = trainee.make_head(Size(1, 3, 320))
    at_20_ms.load_state_dict(made.state_dict())
    batch = Batch((example,), states[:, :, ::2], torch.tensor([5]))
    assert trainee.loss(at_20_ms.eval(), batch).item() == losses[0]


@pytest.mark.parametrize(
    ("spec", "row", "code"),
    [
        (SpeechRecognition(type="asr"), _row(None), "TARGET_MISSING"),
        (SpeechRecognition(type="asr"), _row("   "), "TARGET_BAD"),
        (SpeechRecognition(type="asr", drop="ab"), _row("abba"), "TARGET_BAD"),
        (PhonemeRecognition(type="pr"), _row("abba"), "TARGET_MISSING"),
        (SlotFilling(type="sf"), _row("set it"), "TARGET_MISSING"),
        (SlotFilling(type="sf"), _row("set it", slots=[["time", "seven"]]), "TARGET_BAD"),
        (SlotFilling(type="sf"), _row("set it", slots=["time"]), "TARGET_BAD"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused_with_its_recording(spec, row, code) -> None:  # type: ignore[no-untyped-def]
    task = Recognition(spec, FrameLinearHead(type="frame_linear"))
    with pytest.raises(BadDataError, match=rf"{code}: .*r1"):
        task._symbols_of(row, "corpus")


def test_a_target_longer_than_its_audio_is_refused_before_any_fit() -> None:
    """Ten equal letters need nineteen frames: a blank between each two. 16,000 samples have 49, 6,000 have 18."""
    task = Recognition(SpeechRecognition(type="asr"), FrameLinearHead(type="frame_linear"))
    for num_samples, fits in ((16000, True), (6000, False)):
        example = Example("u1", "s", "", num_samples, Take(0, 0), ["a"] * 10)
        trainee = task.begin([example], [])
        if fits:
            trainee.check(SIZE)
        else:
            with pytest.raises(BadDataError, match="TARGET_LONG: the target of u1 needs 19 frames"):
                trainee.check(SIZE)


def test_slots_are_written_and_read_back() -> None:
    row = _row("set an alarm at seven", slots=[["what", "an alarm"], ["time", "seven"]])
    symbols = mark_slots("set an alarm at seven", row, "c", "as_written")
    assert "".join(s for s in symbols if len(s) == 1) == "set an alarm at seven"
    assert read_slots(symbols) == [("what", "an alarm"), ("time", "seven")]
    assert read_slots(["B-time", "s", "B-what", "a", "E-what", "x"]) == [("time", "s"), ("what", "a")]


def test_slot_scores_are_those_worked_by_hand() -> None:
    """The types {what, time} against {what}: F1 = 2 * 1 / (2 + 1). The values: "ab" right, "seven" (5) not there."""
    wanted = ["B-what", "a", "b", "E-what", " ", "B-time", *"seven", "E-time"]
    found = ["B-what", "a", "b", "E-what"]
    f1, cer = score_slots([wanted, wanted], [found, wanted], ["", ""])
    assert f1.value == pytest.approx((2 / 3 + 1) / 2)
    assert cer.value == pytest.approx(5 / 14)
    assert (f1.is_lower_better, cer.is_lower_better) == (False, True)


def test_masks_and_warps_leave_the_form_and_are_drawn_anew() -> None:
    frames, lengths = torch.randn(3, 60, 20) + 5.0, torch.tensor([60, 40, 9])
    spec = SpecAugmentSpec(time_mask_frames=10, channel_mask_channels=5)
    torch.manual_seed(0)
    first, second = augment(frames, lengths, spec), augment(frames, lengths, spec)
    assert first.shape == frames.shape
    assert not torch.equal(first, second)
    zeros = (first == 0).float()
    assert 0 < zeros.mean() < 0.9
    assert torch.equal(augment(frames, lengths, SpecAugmentSpec(warp_frames=0, time_masks=0, channel_masks=0)), frames)
