"""Whose voice a name of the turns is."""

from __future__ import annotations

import pytest
import torch

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.tasks.blocks import BlockTrainee
from wavlm.evaluation.tasks.diarization import Diarization
from wavlm.evaluation.tasks.task import Batch, Size
from wavlm.specs.eend import FrameEncoderSpec, VectorHead
from wavlm.specs.pairs import SpeakerDiarization

HEAD = VectorHead(
    type="eend_vc", encoder=FrameEncoderSpec(width=8, layers=1, attention_heads=1, feed_forward=8, dropout=0.0)
)
CALLS = [
    Example(key, "", "train", 32_000, Take(0, row), {"turns": [[0.0, 1.0, "A"], [0.5, 2.0, "B"]]})
    for row, key in enumerate(("calls/one", "calls/two"))
]


@pytest.mark.parametrize(
    ("names", "speakers"),
    [
        ("everywhere", ["A", "B"]),
        ("recording", ["calls/one/A", "calls/one/B", "calls/two/A", "calls/two/B"]),
    ],
)
def test_a_name_is_a_speaker_everywhere_or_of_its_recording_alone(names: str, speakers: list[str]) -> None:
    spec = SpeakerDiarization.model_validate({"type": "sd", "names": names})
    trainee = Diarization(spec, HEAD).begin(CALLS, CALLS)
    assert isinstance(trainee, BlockTrainee)
    assert trainee.learned == speakers
    head = trainee.make_head(Size(1, 4, 320))
    batch = Batch(tuple(CALLS), torch.randn(2, 1, 99, 4), torch.tensor([99, 99]))
    assert bool(torch.isfinite(trainee.loss(head, batch)))
