"""Utterance and noise mixing, WavLM's denoising task: a pure function of a group of crops.

Section 12 of docs/algorithm.md (Algorithm 1 of the paper), with its recommended choices: secondary
utterances come from an unmixed copy, and no utterance is its own partner. The numbers of
an utterance are named after it, so the result depends on the group, the seed and the epoch alone.

Crops come in 16-bit steps or in float32, for the same result to the last bit. Only what is added
to is computed: a fifth of the crops, an eighth of each.

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from wavlm.mixing.noise import NoisePool
from wavlm.rng import Numbers, stream_seeds, uniforms
from wavlm.shards.flac import PCM16_SCALE, Pcm16
from wavlm.specs import MixSpec

Waveform = npt.NDArray[np.float32]
Kind = Literal["speech", "noise"]

NUM_DRAWS = 7  # an utterance: one whether it is mixed, then those of _Drawn
ENERGY_BLOCK = 8192  # samples; BLAS would use threads for longer products
ONE = np.float32(1)


@dataclass(frozen=True)
class Event:
    """One region of one utterance into which something else was added."""

    key: str  # of the primary
    kind: Kind
    source: str  # key of what was added
    start_samples: int  # region in the primary
    num_samples: int
    source_start_samples: int  # region in the secondary
    ratio_db: float  # energy of the whole primary over that of the whole secondary, as added
    scale: float  # factor on the secondary; 0 where it is silent


class Samples(Protocol):
    """Samples of a numpy array or a torch tensor: both have a length and can be assigned to."""

    def __len__(self) -> int: ...

    def __setitem__(self, region: Any, values: Any, /) -> None: ...


From = TypeVar("From", bound=Samples)
To = TypeVar("To", bound=Samples)


@dataclass(frozen=True)
class Change(Generic[From]):
    """A region of one crop that mixing or effects changed, and its new samples (numpy or torch)."""

    row: int  # of the crop in its micro-batch
    start_samples: int  # of the region in the crop
    waveform: From  # float32, the new samples of the region

    def apply_to(self, waveforms: From) -> None:
        """Write the new samples into their row of `waveforms` (B, N)."""
        end = self.start_samples + len(self.waveform)
        waveforms[self.row, self.start_samples : end] = self.waveform

    def map(self, convert: Callable[[From], To]) -> Change[To]:
        """The same change with converted samples: a tensor of an array, or a copy on another device."""
        return Change(self.row, self.start_samples, convert(self.waveform))


@dataclass(frozen=True)
class Mixed:
    """The mixed crops (B, N) and what was done to them, in the order of the rows."""

    waveforms: Waveform
    events: tuple[Event, ...]


@dataclass(frozen=True)
class _Secondary:
    """What is added: a whole crop of the group, or a whole noise clip."""

    kind: Kind
    key: str
    samples: Waveform | Pcm16  # (N,)
    energy: float


@dataclass(frozen=True)
class _MixDraws:
    """What is random about the mix of one utterance: numbers in [0, 1), always drawn together.

    The first number that is drawn, not among these, decides whether it is mixed at all.
    """

    noise: float
    pick: float
    ratio: float
    length: float
    source_end: float
    end: float


def mix_waveforms(
    waveforms: Waveform,
    keys: Sequence[str],
    epoch: int,
    seed: int,
    spec: MixSpec,
    noise: NoisePool | None = None,
) -> Mixed:
    """Add to some of the crops (B, N) a stretch of another crop or of a noise clip.

    Labels stay those of the primary. Nothing is clipped or normalised here.
    """
    mixed, events = waveforms.copy(), []
    numbers = uniforms(stream_seeds(seed, ("mix", epoch), keys), NUM_DRAWS)
    for event, change in mix(waveforms, keys, numbers, spec, noise):
        change.apply_to(mixed)
        events.append(event)
    return Mixed(mixed, tuple(events))


def mix(
    crops: Waveform | Pcm16,
    keys: Sequence[str],
    numbers: Numbers,
    spec: MixSpec,
    noise: NoisePool | None = None,
) -> list[tuple[Event, Change[Waveform]]]:
    """`mix_waveforms` with given numbers (B, NUM_DRAWS), as what it changes: a stretch of a few."""
    if spec.noise_probability > 0 and noise is None:
        raise ValueError(f"{spec.name} mixes in noise, but there is no noise")
    group = _Crops(crops, keys)
    found = []
    for row, (key, draws) in enumerate(zip(keys, numbers.tolist(), strict=True)):
        if draws[0] >= spec.probability:
            continue
        drawn = _MixDraws(*draws[1:])
        secondary = _secondary(group, row, drawn, spec, noise)
        if secondary is None:
            continue
        event = _event(group.energy(row), crops.shape[1], key, secondary, drawn, spec)
        region = slice(event.start_samples, event.start_samples + event.num_samples)
        source = slice(event.source_start_samples, event.source_start_samples + event.num_samples)
        mixture = as_float32(crops[row, region])
        mixture += as_float32(secondary.samples[source], np.float32(event.scale))
        found.append((event, Change(row, event.start_samples, mixture)))
    return found


def as_float32(samples: Waveform | Pcm16, scale: np.float32 = ONE) -> Waveform:
    """Samples of any shape as amplitudes times a scale; 16-bit steps are multiples of 2**-15.

    A product with a power of two is exact, so it does not matter which product comes first.
    """
    amplitudes = samples.astype(np.float32)
    amplitudes *= scale * PCM16_SCALE if samples.dtype == np.int16 else scale
    return amplitudes


class _Crops:
    """Crops (B, N) and their keys; the energy of a crop is computed once, if it is asked for."""

    def __init__(self, crops: Waveform | Pcm16, keys: Sequence[str]) -> None:
        self.crops = crops
        self.keys = keys
        self._energies: dict[int, float] = {}

    def energy(self, row: int) -> float:
        """Mean square of a whole crop."""
        if row not in self._energies:
            self._energies[row] = _mean_square(self.crops[row])
        return self._energies[row]


def _secondary(group: _Crops, row: int, drawn: _MixDraws, spec: MixSpec, noise: NoisePool | None) -> _Secondary | None:
    """What is added to a row; None if a lone utterance has no partner."""
    if noise is not None and drawn.noise < spec.noise_probability:
        key, waveform = noise.draw(drawn.pick)
        return _Secondary("noise", key, waveform, _mean_square(waveform))
    num_partners = len(group.keys) - spec.exclude_self
    if not num_partners:
        return None
    partner = _below(drawn.pick, num_partners)
    if spec.exclude_self:
        partner += partner >= row
    return _Secondary("speech", group.keys[partner], group.crops[partner], group.energy(partner))


def _event(energy: float, num_samples: int, key: str, secondary: _Secondary, drawn: _MixDraws, spec: MixSpec) -> Event:
    """Ratio, length and end points, uniform and independent: steps 4 and 5 of section 12.

    The primary has this energy and so many samples.
    """
    low, high = spec.speech_ratio_db if secondary.kind == "speech" else spec.noise_ratio_db
    ratio_db = low + drawn.ratio * (high - low)
    available = len(secondary.samples)
    longest = int(spec.max_length_fraction * num_samples)
    length = min(_below(drawn.length, longest + 1), available)
    end = length + _below(drawn.end, num_samples - length + 1)
    source_end = length + _below(drawn.source_end, available - length + 1)
    return Event(
        key=key,
        kind=secondary.kind,
        source=secondary.key,
        start_samples=end - length,
        num_samples=length,
        source_start_samples=source_end - length,
        ratio_db=ratio_db,
        scale=_scale(energy, secondary.energy, ratio_db),
    )


def _scale(primary: float, secondary: float, ratio_db: float) -> float:
    """Factor that puts the secondary `ratio_db` below the primary; 0 for silence.

    Both are mean squares over the whole crop and the whole clip, whatever region is added.
    """
    if secondary == 0:
        return 0.0
    return float(np.sqrt(primary / 10 ** (ratio_db / 10) / secondary))


def _mean_square(samples: Waveform | Pcm16) -> float:
    """The energy of samples (N,), in amplitudes.

    That of steps is exact, as is the sum in float64 of as many squares of multiples of 2**-15: in
    units of 2**-30 all are whole numbers below 2**53.
    """
    if samples.dtype != np.int16:
        return float(np.mean(np.square(samples, dtype=np.float64)))
    exact = samples.astype(np.float64)
    whole = len(exact) // ENERGY_BLOCK * ENERGY_BLOCK
    blocks, rest = exact[:whole].reshape(-1, 1, ENERGY_BLOCK), exact[whole:]
    total = float((blocks @ blocks.swapaxes(1, 2)).sum() + rest @ rest)
    return total / len(samples) * 2.0**-30


def _below(number: float, limit: int) -> int:
    """The whole number below `limit` that a number in [0, 1) picks, uniformly."""
    return int(number * limit)
