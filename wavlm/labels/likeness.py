"""Whether speech that is to be labelled is like that which a codebook of random projections was fitted on."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from wavlm.features.extract import one_thread
from wavlm.features.frame_function import frame_function
from wavlm.labels.facts import CodebookFacts, find_grid
from wavlm.labels.quantizers import read_quantizer
from wavlm.labels.random_projection import RandomProjections, refuse_unnormalised
from wavlm.shards import decode_sample, read_listing, read_samples
from wavlm.shards.listing import read_sample_rate

UTTERANCES = 32  # of one shard: half a second of work


def refuse_unlike(codebook_dir: Path, codebook: CodebookFacts, shards_dir: Path) -> None:
    """Raise BadDataError (NOT_NORMALISED) if features of a shards folder are far from mean 0 and variance 1."""
    if codebook.type != "random_projection" or codebook.features is None:
        return
    quantizer = read_quantizer(codebook_dir, codebook)
    assert isinstance(quantizer, RandomProjections)  # noqa: S101 - of this type
    grid = find_grid(codebook.grid, read_sample_rate(shards_dir), codebook_dir)
    function = frame_function(codebook.features, None, "cpu", grid)
    decode, name = partial(decode_sample, sample_rate_hz=grid.sample_rate_hz), min(read_listing(shards_dir))
    with one_thread(), torch.inference_mode():
        rows = [
            function.compute(torch.from_numpy(decode(item).waveform)[None], None)[0].numpy()
            for item in islice(read_samples(shards_dir / name), UTTERANCES)
        ]
    if rows:
        refuse_unnormalised(quantizer.normalise(np.concatenate(rows)), shards_dir / name)
