"""Utterance and noise mixing, the denoising task of WavLM: a pure function of the crops of a micro-batch.

To some crops (the primaries) a region of another crop or of a noise recording (the secondary) is added. This is
section 12 of docs/algorithm.md (Algorithm 1 of the paper) with the choices recommended there: secondary utterances are
taken before mixing, and no utterance is its own secondary.

The random numbers of an utterance are named after it. So the result depends on the micro-batch, the seed and the epoch
alone.

Crops are int16 or float32 samples; both give the same bits. Only regions that change are computed: with the paper's
probabilities a fifth of the crops, and an eighth of the samples of each.

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from wavlm.mixing.audio_pool import AudioPool
from wavlm.rng import Numbers, stream_seeds, uniforms
from wavlm.shards.flac import PCM16_SCALE, Pcm16
from wavlm.specs import MixSpec

Waveform = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Kind = Literal["speech", "noise"]

NUM_DRAWS = 7  # per utterance: one for whether it is mixed, then those of _MixDraws
ENERGY_BLOCK = 8192  # samples; for longer products BLAS would use threads
ONE = np.float32(1)


@dataclass(frozen=True)
class Event:
    """One region of one utterance to which a secondary was added."""

    key: str  # of the primary
    kind: Kind
    source: str  # key of the secondary
    start_samples: int  # region in the primary
    num_samples: int
    source_start_samples: int  # region in the secondary
    ratio_db: float  # energy of the whole primary over that of the whole scaled secondary
    scale: float  # factor on the secondary; 0 if it is silent


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
    """The mixed crops (B, N) float32 and the events in them, in the order of the rows."""

    waveforms: Waveform
    events: tuple[Event, ...]


@dataclass(frozen=True)
class _Secondary:
    """What is added: a whole crop of the micro-batch, or a whole noise recording."""

    kind: Kind
    key: str
    samples: Waveform | Pcm16  # (N,)
    energy: float  # mean square


@dataclass(frozen=True)
class _MixDraws:
    """The random numbers in [0, 1) of the mix of one utterance.

    One more number comes before these. It decides whether the utterance is mixed at all.
    """

    noise: float  # whether the secondary is noise
    pick: float  # which crop or recording it is
    ratio: float  # energy ratio
    length: float  # of the region
    source_end: float  # of the region in the secondary
    end: float  # of the region in the primary


def mix_waveforms(
    waveforms: Waveform,
    keys: Sequence[str],
    epoch: int,
    seed: int,
    spec: MixSpec,
    noise: AudioPool | None = None,
) -> Mixed:
    """Add to some of the crops (B, N) a region of another crop or of a noise recording.

    Labels stay those of the primary. Nothing is clipped or normalised here. Raises ValueError if the spec wants noise
    and there is none.
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
    noise: AudioPool | None = None,
    utterances: Integers | None = None,
) -> list[tuple[Event, Change[Waveform]]]:
    """`mix_waveforms` with given random numbers (B, NUM_DRAWS). Returns events and changes, and leaves the crops.

    utterances (B,): a number for each utterance, where crops may be of the same one. Not given: each is of another.
    """
    if spec.noise_probability > 0 and noise is None:
        raise ValueError(f"{spec.name} mixes in noise, but there is no noise")
    micro_batch = _Crops(crops, keys, utterances)
    found = []
    for row, (key, draws) in enumerate(zip(keys, numbers.tolist(), strict=True)):
        if draws[0] >= spec.probability:
            continue
        drawn = _MixDraws(*draws[1:])
        secondary = _choose_secondary(micro_batch, row, drawn, spec, noise)
        if secondary is None:
            continue
        event = _draw_event(micro_batch.energy(row), crops.shape[1], key, secondary, drawn, spec)
        found.append((event, Change(row, event.start_samples, _add_region(crops[row], secondary.samples, event))))
    return found


def _add_region(primary: Waveform | Pcm16, secondary: Waveform | Pcm16, event: Event) -> Waveform:
    """The samples of the event's region, float32: primary plus scaled secondary."""
    mixture = as_float32(primary[event.start_samples :][: event.num_samples])
    mixture += as_float32(secondary[event.source_start_samples :][: event.num_samples], np.float32(event.scale))
    return mixture


def as_float32(samples: Waveform | Pcm16, scale: np.float32 = ONE) -> Waveform:
    """Samples of any shape as float32 amplitudes times a scale. The amplitude of an int16 sample is 2**-15 times it.

    A product with a power of two is exact, so the order of the two products does not matter.
    """
    amplitudes = samples.astype(np.float32)
    amplitudes *= scale * PCM16_SCALE if samples.dtype == np.int16 else scale
    return amplitudes


class _Crops:
    """Crops (B, N) and their keys. The energy of a crop is computed when it is first needed, and once."""

    def __init__(self, crops: Waveform | Pcm16, keys: Sequence[str], utterances: Integers | None) -> None:
        self.crops = crops
        self.keys = keys
        self._utterances = np.arange(len(keys)) if utterances is None else utterances
        self._energies: dict[int, float] = {}

    def energy(self, row: int) -> float:
        """Mean square of a whole crop."""
        if row not in self._energies:
            self._energies[row] = _mean_square(self.crops[row])
        return self._energies[row]

    def others(self, row: int) -> Integers:
        """The rows of other utterances than that of `row`, in order."""
        return np.flatnonzero(self._utterances != self._utterances[row])


def _choose_secondary(
    crops: _Crops, row: int, drawn: _MixDraws, spec: MixSpec, noise: AudioPool | None
) -> _Secondary | None:
    """What is added to a row; None if the micro-batch has no other utterance."""
    if noise is not None and drawn.noise < spec.noise_probability:
        key, waveform = noise.draw(drawn.pick)
        return _Secondary("noise", key, waveform, _mean_square(waveform))
    others = crops.others(row) if spec.exclude_self else np.arange(len(crops.keys))
    if not len(others):
        return None
    other = int(others[_below(drawn.pick, len(others))])
    return _Secondary("speech", crops.keys[other], crops.crops[other], crops.energy(other))


def _draw_event(
    energy: float, num_samples: int, key: str, secondary: _Secondary, drawn: _MixDraws, spec: MixSpec
) -> Event:
    """Energy ratio, length and ends of the region, uniform and independent: points 4 and 5 of section 12.

    `energy` and `num_samples` are those of the primary.
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
    """Factor that puts the secondary `ratio_db` below the primary; 0 if the secondary is silent.

    Both arguments are mean squares over the whole crop or recording, whatever region is added.
    """
    if secondary == 0:
        return 0.0
    return float(np.sqrt(primary / 10 ** (ratio_db / 10) / secondary))


def _mean_square(samples: Waveform | Pcm16) -> float:
    """The mean square of the amplitudes of samples (N,).

    For int16 samples the sum is exact: the squares and their sums are whole numbers below 2**53 (in units of 2**-30),
    which float64 represents exactly. So it equals the sum of the squared float32 amplitudes of the same samples.
    """
    if samples.dtype != np.int16:
        return float(np.mean(np.square(samples, dtype=np.float64)))
    exact = samples.astype(np.float64)
    whole = len(exact) // ENERGY_BLOCK * ENERGY_BLOCK
    blocks, rest = exact[:whole].reshape(-1, 1, ENERGY_BLOCK), exact[whole:]
    total = float((blocks @ blocks.swapaxes(1, 2)).sum() + rest @ rest)
    return total / len(samples) * 2.0**-30


def _below(number: float, limit: int) -> int:
    """The whole number below `limit` that a uniform number in [0, 1) selects."""
    return int(number * limit)
