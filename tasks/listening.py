"""Write a training batch as WAV files, before and after mixing and effects, to listen to; and each effect alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile

from tasks.jobs import job_of
from wavlm.errors import UsageError
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.loader.epochs import MicroBatch, SamplerState
from wavlm.loader.samples import MicroBatchArrays, TrainingSamples
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.effect_pairs import effect_pairs
from wavlm.mixing.effects import Waveform
from wavlm.pipeline.artifacts import Model
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.storage.files import write_text


def write_batch(recipe: Recipe, store: Store, iteration: int | None, epoch: int, out: Path) -> list[Path]:
    """Write the first batch of an epoch as pairs NN-KEY-clean.wav, NN-KEY-mixed.wav, and a pair for each effect.

    The pair effect-NAME-clean.wav, effect-NAME-mixed.wav is the first utterance before and after that effect alone, as
    strong as the mix allows it.

    Raises UsageError if the iteration mixes nothing, BadDataError if its labels are missing.
    """
    model = _model(recipe, iteration)
    for item in model.inputs:
        store.require(item)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        job = job_of(model, store, Runtime(), Path(cache))
        micro_batch = _first_micro_batch(job, epoch)
        mixing = TrainingSamples(job)
        (drawn,) = mixing.draw([micro_batch])
        clean = TrainingSamples(job.model_copy(update={"mix": None})).make(drawn)
        mixed = mixing.make(drawn)
    rate_hz = mixing.utterances.grid.sample_rate_hz
    return [*_write_pairs(clean, mixed, out, rate_hz), *_write_effects(job, clean.waveforms[0], out, rate_hz)]


def _model(recipe: Recipe, iteration: int | None) -> Model:
    """The model of this iteration, or of the first one that mixes."""
    mixing = [model for model in models(plan(recipe)) if model.mix]
    for model in mixing:
        if iteration in (None, model.iteration):
            return model
    possible = ", ".join(str(model.iteration) for model in mixing) or "none"
    raise UsageError(
        "NO_MIX",
        f"found iteration {iteration or 'not given'}, expected one that mixes utterances; in recipe {recipe.name}; "
        f"choose one of: {possible}",
    )


def _first_micro_batch(job: TrainJob, epoch: int) -> MicroBatch:
    return next(TrainingSamples(job).sampler().updates(SamplerState(epoch))).micro_batches[0]


def _write_pairs(clean: MicroBatchArrays, mixed: MicroBatchArrays, out: Path, sample_rate_hz: int) -> Iterator[Path]:
    # One factor for all files, so that their loudness can be compared and nothing clips.
    peak = max(float(np.abs(arrays.waveforms).max()) for arrays in (clean, mixed))
    gain = min(1.0, 0.99 / peak) if peak else 1.0
    for row, key in enumerate(clean.keys):
        pair = gain * clean.waveforms[row], gain * mixed.waveforms[row]
        yield from _write_pair(out / f"{row:02d}-{key}", *pair, sample_rate_hz)
    changed = [
        key for row, key in enumerate(clean.keys) if not np.array_equal(clean.waveforms[row], mixed.waveforms[row])
    ]
    path = out / "batch.json"
    counts = {name: count for name, count in asdict(mixed.mixing).items() if count}
    write_text(path, json.dumps({"keys": clean.keys, "mixed": changed, "counts": counts, "gain": gain}, indent=2))
    yield path


def _write_effects(job: TrainJob, waveform: Waveform, out: Path, sample_rate_hz: int) -> Iterator[Path]:
    """Pairs of the waveform (N,) before and after each effect of the mix."""
    draw_rir = AudioPool(job.rooms, "train", sample_rate_hz=sample_rate_hz).draw if job.rooms else None
    effects = job.mix.effects if job.mix else ()
    for pair in effect_pairs(waveform, effects, job.train.seed, draw_rir, sample_rate_hz):
        yield from _write_pair(out / f"effect-{pair.name}", pair.clean, pair.affected, sample_rate_hz)


def _write_pair(stem: Path, clean: Waveform, mixed: Waveform, sample_rate_hz: int) -> Iterator[Path]:
    for name, waveform in (("clean", clean), ("mixed", mixed)):
        path = stem.with_name(f"{stem.name}-{name}.wav")
        soundfile.write(path, waveform, sample_rate_hz, subtype="PCM_16")
        yield path
