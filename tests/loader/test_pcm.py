"""Packed audio against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wavlm.loader.pcm import PackedAudio
from wavlm.mixing.mix import Change

pytestmark = pytest.mark.numeric


def test_every_int16_sample_becomes_its_amplitude_exactly() -> None:
    pcm = np.arange(-32768, 32768, dtype=np.int16).reshape(4, -1)
    found = PackedAudio(torch.from_numpy(pcm)).waveforms()
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.double().numpy(), pcm / 32768)


def test_changes_go_to_their_regions_and_nowhere_else() -> None:
    rng = np.random.default_rng(3)
    pcm = rng.integers(-32768, 32768, (3, 50)).astype(np.int16)
    changes = rng.standard_normal(50 + 7 + 0 + 1).astype(np.float32)
    parts = torch.from_numpy(changes).split([50, 7, 0, 1])
    starts = ((1, 0), (0, 43), (2, 9), (2, 0))
    regions = tuple(Change(*start, part) for start, part in zip(starts, parts, strict=True))
    found = PackedAudio(torch.from_numpy(pcm), regions).waveforms().numpy()
    expected = (pcm / 32768).astype(np.float32)
    expected[1] = changes[:50]
    expected[0, 43:] = changes[50:57]
    expected[2, 0] = changes[57]
    np.testing.assert_array_equal(found, expected)


def test_unpacking_leaves_the_packed_alone() -> None:
    change = Change(0, 1, torch.tensor([0.5, 0.25]))
    packed = PackedAudio(torch.ones(1, 4, dtype=torch.int16), (change,))
    first = packed.waveforms()
    first.zero_()
    assert packed.waveforms().tolist() == [[2**-15, 0.5, 0.25, 2**-15]]
    assert packed.pcm.tolist() == [[1, 1, 1, 1]]
