"""Recognition by CTC: it learns a language that is made up, and its scores and refusals are those worked by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.evaluation.core.made import MadeFeatures
from tests.evaluation.decoding.arpa import write_bigrams
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
from wavlm.specs.heads import BlstmHead, CtcHead, FrameLinearHead
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


def _decoding(letters: str, path: Path | None = None) -> SpeechRecognition:
    model: object = {"type": "arpa", "path": str(path)} if path else {"type": "transcripts", "order": 2}
    return SpeechRecognition.model_validate(
        {"type": "asr", "letters": letters, "decoder": {"type": "lexicon", "language_model": model}}
    )


def test_the_test_part_has_the_greedy_result_first_and_that_with_a_language_model_beside_it() -> None:
    """The head hears "aa b" everywhere; the transcripts know "ab" and "b" alone, so "aa" cannot be written."""
    examples = [Example(f"u{n}", "s", "", 16000, Take(0, n), list(text)) for n, text in enumerate(["ab b", "b ab"])]
    task = Recognition(_decoding("as_written"), FrameLinearHead(type="frame_linear"))
    trainee = task.begin(examples, ())
    head = trainee.make_head(SIZE)
    symbols = (" ", "a", "b")

    class Fixed(torch.nn.Module):
        def forward(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            numbers = [symbols.index(one) + 1 if one != "_" else 0 for one in "a_a_ b"]
            logits = torch.nn.functional.one_hot(torch.tensor(numbers), 4).float() * 9
            return logits.expand(len(states), -1, -1)

    assert trainee.symbols == symbols
    assert sum(parameter.numel() for parameter in head.parameters())
    batch = Batch(tuple(examples), torch.zeros(2, 2, 6, 6), torch.tensor([6, 6]))
    assert trainee.predict(Fixed(), batch)[0] == list("aa b")
    both = trainee.for_test().predict(Fixed(), batch)
    assert both[0] == {"greedy": list("aa b"), "lexicon": list("ab b")}
    figures = {figure.name: figure.value for figure in trainee.score(examples, both)}
    assert figures == pytest.approx({"wer": 3 / 4, "cer": 4 / 8, "wer_lm": 2 / 4, "cer_lm": 2 / 8})
    dev = trainee.score(examples, [list("aa b"), list("aa b")], with_intervals=False)
    assert [figure.name for figure in dev] == ["wer", "cer"]


def test_a_decoder_is_refused_before_any_fit(tmp_path: Path) -> None:
    example = Example("u1", "s", "", 16000, Take(0, 0), list("a cat"))
    path = write_bigrams(tmp_path)
    head = FrameLinearHead(type="frame_linear")
    Recognition(_decoding("lower", path), head).begin([example], []).check(SIZE)
    with pytest.raises(BadDataError, match="LM_MISFIT: none of the 3 words"):
        Recognition(_decoding("as_written", path), head).begin([example], []).check(SIZE)


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


def _ctc(closes_words: bool = True, **task: object) -> Recognition:
    spec = SpeechRecognition.model_validate({"type": "asr", **task})
    return Recognition(spec, CtcHead(type="ctc", closes_words=closes_words))


def test_a_ctc_head_is_taught_the_letters_and_a_last_space_and_reads_the_last_state_alone() -> None:
    """The negative log likelihood of "ab " by all paths, of one utterance: no mean over its symbols."""
    example = Example("u", "s", "", 16000, Take(0, 0), list("ab"))
    trainee = _ctc(alphabet=" ab").begin([example], [])
    head = trainee.make_head(SIZE).eval()
    states = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(1))
    batch = Batch((example,), states, torch.tensor([5]))
    logits = states[0, 1] @ head.get_parameter("output.weight").T + head.get_parameter("output.bias")
    chances = torch.softmax(logits, dim=-1).tolist()
    total = 0.0
    for path in itertools.product(range(4), repeat=5):
        joined = [number for number, _ in itertools.groupby(path) if number]
        if joined == [2, 3, 1]:  # a, b, space
            total += math.prod(chances[frame][number] for frame, number in enumerate(path))
    assert trainee.loss(head, batch).item() == pytest.approx(-math.log(total), rel=1e-5)
    assert trainee.learned == [" ", "a", "b"]


def test_a_space_at_the_end_is_no_error_of_a_head_that_closes_words() -> None:
    trainee = _ctc(alphabet=" ab").begin([Example("u", "s", "", 16000, Take(0, 0), list("ab"))], [])
    assert trainee._write([2, 3, 1]) == ["a", "b"]
    assert trainee._write([1, 2, 1, 1, 3, 1]) == ["a", " ", "b"]


def test_a_letter_outside_the_alphabet_is_refused_with_its_place() -> None:
    row = replace(_row("ab c"), place="manifest.parquet, row 7, of a/b.flac")
    with pytest.raises(BadDataError, match=r"TARGET_LETTER: the text of r1 has 'c', .* row 7, of a/b\.flac"):
        _ctc(alphabet=" ab")._symbols_of(row, "corpus")
    with pytest.raises(BadDataError, match=r"TARGET_BAD: .* row 7, of a/b\.flac"):
        _ctc(alphabet=" ab")._symbols_of(replace(row, text="  "), "corpus")


def test_each_part_of_the_test_set_has_figures_of_its_own() -> None:
    examples = [Example(f"u{n}", "s", part, 16000, Take(0, n), list("ab")) for n, part in enumerate(("clean", "other"))]
    found = {it.name: it.value for it in _ctc().begin(examples, []).score(examples, [list("ab"), list("aa")])}
    assert found == pytest.approx(
        {"wer": 0.5, "cer": 0.25, "wer_clean": 0.0, "cer_clean": 0.0, "wer_other": 1.0, "cer_other": 0.5}
    )
