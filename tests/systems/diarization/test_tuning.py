"""What a back-end learns from conversations: settings of VBx that fit its PLDA, kept and taken by the diarizer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.systems.diarization.made import SMALL, write_system
from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.diarization import Turn, diarization_errors
from wavlm.nn.files import save_tensors
from wavlm.systems.diarization.backend import (
    FILE,
    HEADER,
    Backend,
    KnownConversation,
    fit_backend,
    read_backend,
    write_backend,
)
from wavlm.systems.diarization.diarize import Choice, open_diarizer
from wavlm.systems.diarization.vbx import VbxSettings
from wavlm.systems.diarization.windowed import Embed, WindowClustering, WindowDiarizer
from wavlm.systems.recording import HeldSamples

pytestmark = pytest.mark.numeric

RATE = 16000
VOICES = np.random.default_rng(11).normal(size=(6, 8)) * 1.5
SETTINGS = WindowClustering(method="vbx", detector="oracle")


def talk(order: list[int], seconds: float = 3.0) -> KnownConversation:
    """One voice after another, each of its own level, which `embed` reads."""
    parts = [np.full(round(seconds * RATE), 1000 * (number + 1), np.int16) for number in order]
    turns = [(place * seconds, (place + 1) * seconds, f"v{number}") for place, number in enumerate(order)]
    return KnownConversation(HeldSamples(np.concatenate(parts)), turns)


def embedder(seed: int) -> Embed:
    """Gives the voice in the middle of each window, with noise."""
    rng = np.random.default_rng(seed)

    def embed(waveforms: np.ndarray) -> np.ndarray:
        levels = waveforms[:, waveforms.shape[1] // 2] * 2**15 / 1000
        return VOICES[levels.round().astype(int) - 1] + rng.normal(size=(len(waveforms), VOICES.shape[1]))

    return embed


def rate(backend: Backend, vbx: VbxSettings, one: KnownConversation) -> float:
    settings = replace(SETTINGS, stop=backend.stops["vbx"], vbx=vbx)
    found: list[Turn] = WindowDiarizer(embedder(2), settings, backend.plda).find_turns(one.samples, one.turns)
    return diarization_errors(one.turns, found, [(0.0, one.turns[-1][1])], collar_each_side_s=0.25).rate


def test_settings_of_vbx_are_those_that_tell_the_voices_of_conversations_apart() -> None:
    """The authors' Fb is for telephone calls and PLDAs of 128 dimensions: of short turns and 5 it makes one voice."""
    talks = [talk([0, 1, 2, 0]), talk([3, 4, 3, 5]), talk([1, 5, 1]), talk([2, 4, 0, 3])]
    backend = fit_backend(embedder(1), talks, SETTINGS)
    assert backend.vbx.regularisation < VbxSettings().regularisation
    other = talk([0, 3, 0, 3, 1])
    assert rate(backend, VbxSettings(), other) > 0.3
    assert rate(backend, backend.vbx, other) < 0.1


def test_fitted_settings_are_kept_with_the_system_and_the_diarizer_takes_them(tmp_path: Path) -> None:
    folder = write_system(tmp_path / "asv", {"type": "asv"}, {"type": "ecapa", **SMALL}, ["a", "b"])
    fitted = fit_backend(embedder(1), [talk([0, 1, 2, 0]), talk([3, 4, 3, 5])], SETTINGS)
    fitted = replace(fitted, vbx=VbxSettings(evidence=0.2, regularisation=3.0, loop=0.9))
    write_backend(folder, fitted)
    assert read_backend(folder).vbx == fitted.vbx
    opened = open_diarizer(folder, Choice(method="vbx"))
    assert isinstance(opened, WindowDiarizer)
    assert (opened.settings.vbx, opened.settings.stop) == (fitted.vbx, fitted.stops["vbx"])
    save_tensors({}, folder / FILE, {HEADER: json.dumps({"format": 1, "method": "vbx", "stops": {}})})
    with pytest.raises(BadDataError, match=r"SYSTEM_BROKEN.* fit it again"):
        read_backend(folder)
