"""Stage mixtures: a small fixed set of mixed utterances, for validation and for listening.

It mixes like training, with three differences:

- Every utterance is mixed, and what is added can be heard (wavlm.mixing.heard).
- Every second one is mixed with noise, if there is noise.
- A mixture that would clip is scaled down as a whole.

A mixtures folder is a shards folder with one tar (wavlm.shards), the truth about the mixtures (wavlm.mixing.truth) and
`listen/`: pairs of WAV files of some mixtures and of each effect, with their spectrograms (wavlm.mixing.listen).

Legend: B utterances, N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.execution.progress import Progress, no_progress
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.effect_pairs import effect_pairs, headroom
from wavlm.mixing.effects import Affected, DrawRir, apply_effects, require_packages
from wavlm.mixing.facts import MixturesFacts
from wavlm.mixing.heard import HeardMix, HeardMixer
from wavlm.mixing.listen import write_pair, write_readme
from wavlm.mixing.truth import Truth, write_truth
from wavlm.rng import rng_for
from wavlm.shards import Piece, Reader, Utterance, read_columns
from wavlm.shards.contents import write_contents
from wavlm.shards.listing import read_sample_rate
from wavlm.shards.part import write_tar
from wavlm.shards.record import describe_part, to_table
from wavlm.specs import EffectSpec, MixSpec, MixturesSpec
from wavlm.specs.frames import FrameGrid
from wavlm.storage.files import atomic_path, sha256_of

Waveform = npt.NDArray[np.float32]

STEM = "mixed-000000"
PRIMARY_COLUMNS = ("key", "speaker", "sha256", "shard", "offset", "size", "samples")
MICRO_BATCH_UTTERANCES = 8  # of similar length, cropped to the shortest, mixed with each other
LISTENING_PAIRS = 8  # a spectrogram takes most of a second


@dataclass(frozen=True)
class _Primary:
    """An utterance of the valid split, to which another or noise is added."""

    reader: Reader
    key: str
    speaker: str
    sha256: str
    place: tuple[str, int, int]  # shard, byte offset and size
    num_samples: int
    num_frames: int  # of its longest crop
    grid: FrameGrid

    @classmethod
    def of(cls, reader: Reader, row: Mapping[str, Any], longest_samples: int, grid: FrameGrid) -> _Primary:
        """row: its columns in the index."""
        place = row["shard"], row["offset"], row["size"]
        frames = int(grid.count(min(row["samples"], longest_samples)))
        return cls(reader, row["key"], row["speaker"], row["sha256"], place, row["samples"], frames, grid)

    def read(self, start: int, stop: int) -> Waveform:
        """Some of its samples."""
        return self.reader.read_verified(self.key, self.place, self.sha256, start, stop)


@dataclass(frozen=True)
class _Mixture:
    """One utterance before and after mixing and effects, scaled alike, both (N,)."""

    clean: Waveform
    mixed: Waveform
    truth: Truth


@dataclass(frozen=True)
class _Mixer:
    """Mixes the utterances of a micro-batch and applies the effects."""

    seed: int
    mix: HeardMixer
    effects: tuple[EffectSpec, ...]
    draw_rir: DrawRir | None
    sample_rate_hz: int

    def __call__(self, waveforms: Waveform, keys: Sequence[str], numbers: range) -> list[tuple[HeardMix, Affected]]:
        """Each row of `waveforms` (B, N) after mixing, and then after effects."""
        mixed = self.mix(waveforms, keys, numbers)
        return [(item, self._apply_effects(item.waveform, key)) for item, key in zip(mixed, keys, strict=True)]

    def _apply_effects(self, waveform: Waveform, key: str) -> Affected:
        rng = rng_for(self.seed, "effects", 0, key)
        return apply_effects(waveform, self.effects, rng, self.draw_rir, self.sample_rate_hz)


def build_mixtures(  # noqa: PLR0913, PLR0917 - what, from where, to where
    spec: MixturesSpec,
    mix: MixSpec,
    speech_dirs: Sequence[Path],
    noise_dirs: Sequence[Path],
    rir_dirs: Sequence[Path],
    out: Path,
    progress: Progress = no_progress,
    grid: FrameGrid | None = None,
) -> MixturesFacts:
    """Fill `out` with the mixed set. The same arguments give the same bytes.

    grid: the frames of the network that is validated on it; None: 25 ms every 20 ms.

    Raises BadDataError if the valid split has fewer than 2 utterances, if a pool of recordings is empty, or if what is
    mixed into an utterance cannot be heard.
    """
    require_packages(mix.effects)
    rate_hz = read_sample_rate(*speech_dirs, *noise_dirs, *rir_dirs)
    frames = grid or FrameGrid.standard(rate_hz)
    primaries = _choose_primaries(spec, speech_dirs, frames)
    noise = AudioPool(noise_dirs, "valid", sample_rate_hz=rate_hz) if noise_dirs else None
    draw_rir = AudioPool(rir_dirs, "valid", sample_rate_hz=rate_hz).draw if rir_dirs else None
    mixer = _Mixer(spec.seed, HeardMixer(mix, spec.seed, noise, rate_hz), mix.effects, draw_rir, rate_hz)
    listening_numbers = _choose_listening(len(primaries))
    truth: list[Truth] = []

    def utterances() -> Iterator[Utterance]:
        for mixture in _mix_primaries(primaries, spec.seed, mixer):
            if not truth:
                for pair in effect_pairs(mixture.clean, mix.effects, spec.seed, draw_rir, rate_hz):
                    write_pair(out / "listen", f"effect-{pair.name}", pair.clean, pair.affected, rate_hz)
            if len(truth) in listening_numbers:
                write_pair(out / "listen", mixture.truth.key, mixture.clean, mixture.mixed, rate_hz)
            truth.append(mixture.truth)
            progress(len(truth), len(primaries))
            yield _make_utterance(mixture, frames)

    with atomic_path(out / f"{STEM}.tar") as tar:
        packed = write_tar(tar, utterances(), sample_rate_hz=rate_hz)
        sha256, size_bytes = sha256_of(tar), tar.stat().st_size
    record = replace(describe_part(STEM, packed), sha256=sha256, size_bytes=size_bytes)
    write_contents(out, [(record, to_table(packed))], rate_hz)
    write_truth(out, truth, rate_hz)
    write_readme(out / "listen")
    return _facts(truth, mix, len(listening_numbers), rate_hz)


def _choose_primaries(spec: MixturesSpec, speech_dirs: Sequence[Path], grid: FrameGrid) -> list[_Primary]:
    """A random choice of the valid split, longest first."""
    longest_samples = int(spec.max_seconds * grid.sample_rate_hz)
    tables = [read_columns(folder, PRIMARY_COLUMNS, "valid") for folder in speech_dirs]
    ends = np.cumsum([len(table) for table in tables])
    count = int(ends[-1]) if len(ends) else 0
    if count < 2:
        where = ", ".join(map(str, speech_dirs))
        raise BadDataError(
            "TOO_FEW_UTTERANCES",
            f"{count} utterances in the valid split, expected 2 or more to mix; in {where}; "
            "raise valid_fraction in a corpus",
        )
    order = rng_for(spec.seed, "mixtures").permutation(count)[: max(2, spec.num_utterances)]
    readers, chosen = [Reader(folder, sample_rate_hz=grid.sample_rate_hz) for folder in speech_dirs], []
    for number in sorted(order.tolist()):
        folder = int(np.searchsorted(ends, number, side="right"))
        (row,) = tables[folder].slice(number - int(ends[folder]) + len(tables[folder]), 1).to_pylist()
        chosen.append(_Primary.of(readers[folder], row, longest_samples, grid))
    return sorted(chosen, key=lambda primary: -primary.num_frames)


def _mix_primaries(primaries: Sequence[_Primary], seed: int, mixer: _Mixer) -> Iterator[_Mixture]:
    num_micro_batches = -(-len(primaries) // MICRO_BATCH_UTTERANCES)
    for members in np.array_split(np.arange(len(primaries)), num_micro_batches):
        numbers = range(int(members[0]), int(members[-1]) + 1)
        yield from _mix_micro_batch([primaries[number] for number in numbers], numbers, seed, mixer)


def _mix_micro_batch(primaries: Sequence[_Primary], numbers: range, seed: int, mixer: _Mixer) -> Iterator[_Mixture]:
    """Crop to the shortest, mix, and scale down what would clip."""
    frames = min(primary.num_frames for primary in primaries)
    keys = [f"{n:05d}-{primary.key}" for n, primary in zip(numbers, primaries, strict=True)]
    crops = [_read_crop(primary, frames, seed) for primary in primaries]
    clean = np.stack([waveform for _, waveform in crops])  # (B, N)
    sources = dict(zip(keys, primaries, strict=True))
    for row, (mixed, affected) in enumerate(mixer(clean, keys, numbers)):
        gain = headroom(affected.waveform)
        truth = _describe(mixed, affected, sources, crops[row][0], float(gain))
        yield _Mixture(gain * clean[row], gain * affected.waveform, truth)


def _read_crop(primary: _Primary, frames: int, seed: int) -> tuple[int, Waveform]:
    """First frame and waveform (N,) of a random crop; all first frames are equally likely."""
    grid = primary.grid
    spare = int(grid.count(primary.num_samples)) - frames
    first = int(rng_for(seed, "crop", 0, primary.key).integers(spare + 1))
    start = first * grid.hop_samples
    return first, primary.read(start, start + grid.samples_of(frames))


def _describe(
    mixed: HeardMix, affected: Affected, sources: dict[str, _Primary], first_frame: int, gain: float
) -> Truth:
    event = mixed.event
    primary, secondary = sources[event.key], sources.get(event.source)
    return Truth(
        key=event.key,
        primary=primary.key,
        primary_sha256=primary.sha256,
        primary_speaker=primary.speaker,
        first_frame=first_frame,
        num_samples=len(mixed.waveform),
        kind=event.kind,
        secondary=event.source if event.kind == "noise" or secondary is None else secondary.key,
        secondary_speaker="" if event.kind == "noise" or secondary is None else secondary.speaker,
        start_samples=event.start_samples,
        end_samples=event.start_samples + event.num_samples,
        loudest_samples=mixed.loudest_samples,
        source_start_samples=event.source_start_samples,
        ratio_db=event.ratio_db,
        scale=event.scale,
        gain=gain,
        effects="+".join(affected.applied),
    )


def _make_utterance(mixture: _Mixture, grid: FrameGrid) -> Utterance:
    truth = mixture.truth
    piece = Piece(truth.primary, offset=0, start=truth.first_frame * grid.hop_samples, samples=truth.num_samples)
    return Utterance(
        key=truth.key,
        speaker=truth.primary_speaker,
        split="valid",
        waveform=mixture.mixed,
        text=None,
        phones=None,
        pieces=(piece,),
    )


def _choose_listening(count: int) -> frozenset[int]:
    """Numbers of the mixtures to listen to: pairs of neighbours, one with speech and one with noise, of all lengths."""
    firsts = np.linspace(0, max(0, count - 2), LISTENING_PAIRS // 2).astype(int) // 2 * 2
    return frozenset(int(first) + offset for first in firsts for offset in (0, 1))


def _facts(truth: Sequence[Truth], mix: MixSpec, mixture_pairs: int, sample_rate_hz: int) -> MixturesFacts:
    names = tuple(dict.fromkeys(effect.name for effect in mix.effects))
    samples = sum(item.num_samples for item in truth)
    mixed = sum(item.end_samples - item.start_samples for item in truth)
    return MixturesFacts(
        utterances=len(truth),
        hours=round(samples / sample_rate_hz / 3600, 6),
        with_speech=sum(item.kind == "speech" for item in truth),
        with_noise=sum(item.kind == "noise" for item in truth),
        heard=len(truth),  # the mixer raises an error otherwise
        effects={name: sum(name in item.effect_names for item in truth) for name in names},
        mixed_share=round(mixed / samples, 6),
        mean_ratio_db=round(float(np.mean([item.ratio_db for item in truth])), 6),
        turned_down=sum(item.gain < 1 for item in truth),
        listening_pairs=mixture_pairs + len(names),
    )
