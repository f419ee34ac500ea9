"""The audio of a drawn conversation: a track per speaker, one for the noise, and their sum, all in 16 bits.

Dry speech is exactly silent outside its turns. A room adds the tail of its impulse response behind them.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.conversations.draw import DrawnConversation, Load
from wavlm.mixing.effects import reverberate
from wavlm.shards.flac import FULL_SCALE, Pcm16, Waveform
from wavlm.specs import SAMPLE_RATE_HZ

LARGEST = 0.99  # a louder conversation is scaled down to it
LONGEST_TAIL = 2 * SAMPLE_RATE_HZ  # of an impulse response, behind the last sample of an utterance
NOISE = "noise"  # the name of the track of the noise; no speaker has it, as theirs begin with the corpus


@dataclass(frozen=True, eq=False)
class Rendered:
    """The tracks by name, (N,) each; speakers in the order of the conversation, then the noise if there is some."""

    tracks: Mapping[str, Pcm16]

    @property
    def mixture(self) -> Pcm16:
        """The sum of all tracks, sample by sample; it never clips."""
        found: Pcm16 = np.stack(list(self.tracks.values())).sum(axis=0, dtype=np.int64).astype(np.int16)
        return found


def render(drawn: DrawnConversation, load: Load, rooms: AudioPool | None, noise: AudioPool | None) -> Rendered:
    """Make the audio. `rooms` and `noise`: what the numbers of the conversation select from."""
    # With a room the conversation ends when its last sound has died away.
    rirs = [rooms.draw(number)[1][:LONGEST_TAIL] for number in drawn.rooms] if rooms is not None else []
    num_samples = drawn.num_samples + max((len(it) for it in rirs), default=0)
    tracks = {speaker: np.zeros(num_samples, dtype=np.float32) for speaker in drawn.speakers}
    for it in drawn.placed:
        speaker = it.utterance.speaker
        dry = np.zeros(it.length, dtype=np.float32)
        samples = load(it.utterance)
        for first, last in it.stretches:
            dry[first:last] = np.float32(it.gain) * samples[first:last]
        heard = _in_room(dry, rirs[drawn.speakers.index(speaker)]) if rirs else dry
        tracks[speaker][it.at : it.at + len(heard)] += heard
    if noise is not None and drawn.noise is not None:
        speech = np.sum(list(tracks.values()), axis=0)
        tracks[NOISE] = _noise(drawn, noise, speech)
    return Rendered(_to_pcm(tracks))


def _in_room(dry: Waveform, rir: Waveform) -> Waveform:
    """Speech (N,) with the tail of a room behind it, at its own level."""
    return reverberate(np.pad(dry, (0, len(rir))), rir)


def _noise(drawn: DrawnConversation, noise: AudioPool, speech: Waveform) -> Waveform:
    """Noise under all of a conversation, as loud as its ratio to the speech says; it begins again at its end."""
    assert drawn.noise is not None  # noqa: S101 - by its caller
    recording = noise.draw(drawn.noise[0])[1]
    first = int(drawn.noise[1] * len(recording))
    chosen = np.take(recording, np.arange(first, first + len(speech)), mode="wrap").astype(np.float64)
    is_spoken = _spoken(drawn, len(speech))
    power = float(np.mean(speech[is_spoken].astype(np.float64) ** 2)) if is_spoken.any() else 0.0
    of_noise = float(np.mean(chosen**2))
    if not power or not of_noise:
        return np.zeros_like(speech)
    scaled: Waveform = (chosen * np.sqrt(power / of_noise * 10 ** (-drawn.snr_db / 10))).astype(np.float32)
    return scaled


def _spoken(drawn: DrawnConversation, num_samples: int) -> npt.NDArray[np.bool_]:
    found = np.zeros(num_samples, dtype=np.bool_)
    for it in drawn.placed:
        for first, last in it.stretches:
            found[it.at + first : it.at + last] = True
    return found


def _to_pcm(tracks: Mapping[str, Waveform]) -> dict[str, Pcm16]:
    """Tracks in 16 bits whose sum does not clip: one factor for all of them."""
    peak = float(np.abs(np.sum(list(tracks.values()), axis=0)).max(initial=0.0))
    single = max((float(np.abs(track).max(initial=0.0)) for track in tracks.values()), default=0.0)
    gain = min(1.0, LARGEST / max(peak, single, 1e-9)) * FULL_SCALE
    return {name: np.rint(track * np.float32(gain)).astype(np.int16) for name, track in tracks.items()}
