"""A part that is there is taken for whole only if everything that it holds is as it would be made now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.shards.corpora import SPEC, Clip, noise_clip, write_corpus
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards, stream

CLIPS = [noise_clip(f"anna-{number}", 1.0 + number / 4) for number in range(3)]
WRITTEN = [replace(clip, text="one", phones=((0.1, 0.5, "a"),)) for clip in CLIPS]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"text": "other"}, lambda utterance: utterance.text == "other"),
        ({"phones": ((0.1, 0.5, "o"),)}, lambda utterance: utterance.phones[0].phone == "o"),
        ({"phones": ((0.2, 0.5, "a"),)}, lambda utterance: utterance.phones[0].start_s == pytest.approx(0.2)),
        ({"speaker": "ben"}, lambda utterance: utterance.speaker == "ben"),
    ],
    ids=["text", "phone", "time of a phone", "speaker"],
)
def test_a_part_is_made_again_when_what_belongs_to_its_audio_changed(
    tmp_path: Path, changed: dict, found: object
) -> None:
    out = tmp_path / "out"
    build_shards(SPEC, write_corpus(tmp_path / "one", WRITTEN), out, 1, no_progress)
    clips: list[Clip] = [replace(WRITTEN[0], **changed), *WRITTEN[1:]]
    build_shards(SPEC, write_corpus(tmp_path / "other", clips), out, 1, no_progress)
    (utterance,) = [item for tar in out.glob("*.tar") for item in stream(tar) if item.key == "anna-0"]
    assert found(utterance), utterance  # type: ignore[operator]
