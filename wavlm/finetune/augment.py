"""Augmentation of training waveforms of different lengths: mixing and effects, as in pre-training.

Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavlm.errors import BadDataError
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.effects import apply_effects, require_packages
from wavlm.mixing.mix import NUM_DRAWS, mix
from wavlm.rng import rng_for, stream_seeds, uniforms
from wavlm.specs import MixSpec

Waveform = npt.NDArray[np.float32]
NEVER = 1.0  # a draw that mixes nothing in: draws are below 1


class Augmenter:
    """Mixes and changes the waveforms of a micro-batch. What is drawn depends on the seed and the examples' keys."""

    def __init__(self, spec: MixSpec | None, noise: Sequence[Path], rooms: Sequence[Path]) -> None:
        require_packages(spec.effects if spec else ())
        self._spec = spec
        self._noise = AudioPool(noise, "train") if spec and noise else None
        self._rirs = AudioPool(rooms, "train") if spec and rooms else None

    def __call__(self, waveforms: Sequence[Waveform], keys: Sequence[str], seed: int) -> list[Waveform]:
        """The waveforms (N,) after mixing, then effects. Raises BadDataError (NOT_FINITE), naming the example."""
        if self._spec is None:
            return list(waveforms)
        numbers = uniforms(stream_seeds(seed, ("mix",), keys), NUM_DRAWS + 1)
        return [self._change(waveforms, keys, row, numbers[row], seed) for row in range(len(keys))]

    def _change(
        self,
        waveforms: Sequence[Waveform],
        keys: Sequence[str],
        row: int,
        numbers: npt.NDArray[np.float64],
        seed: int,
    ) -> Waveform:
        assert self._spec is not None  # noqa: S101 - by its caller
        pair, names = self._beside(waveforms, keys, row, float(numbers[NUM_DRAWS]))
        draws = np.stack([numbers[:NUM_DRAWS], *[np.full(NUM_DRAWS, NEVER)] * (len(pair) - 1)])
        waveform: Waveform = pair[0].copy()
        for _, change in mix(pair, names, draws, self._spec, self._noise):
            waveform[change.start_samples : change.start_samples + len(change.waveform)] = change.waveform
        if not self._spec.effects:
            return waveform
        rng = rng_for(seed, "effects", keys[row])
        found: Waveform = apply_effects(
            waveform, self._spec.effects, rng, self._rirs.draw if self._rirs else None
        ).waveform
        if not np.isfinite(found).all():
            raise BadDataError(
                "NOT_FINITE",
                f"a waveform after effects is not finite; at {keys[row]}; narrow the effects of the mix",
            )
        return found

    @staticmethod
    def _beside(
        waveforms: Sequence[Waveform], keys: Sequence[str], row: int, number: float
    ) -> tuple[Waveform, list[str]]:
        """A waveform, and below it another one of the micro-batch that may be mixed in, as long: (1 or 2, N)."""
        own = waveforms[row]
        others = [other for other in range(len(keys)) if other != row]
        if not others:
            return own[None], [keys[row]]
        chosen = others[int(number * len(others))]
        beside = np.zeros_like(own)
        found = waveforms[chosen][: len(own)]
        beside[: len(found)] = found
        return np.stack([own, beside]), [keys[row], keys[chosen]]
