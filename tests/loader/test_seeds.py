"""Another seed of a training is other masks, in validation too."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.loader.test_validation import CPU
from tests.staircases import job_of, write_corpus
from wavlm.loader.validation import validation_batches


def test_masks_of_validation_are_those_of_the_seed(tmp_path: Path) -> None:
    job = job_of((write_corpus(tmp_path, "alone", 30),), tmp_path)
    masks = []
    for seed in (0, 1, 1):
        chosen = job.model_copy(update={"train": job.train.model_copy(update={"seed": seed})})
        masks.append([batch.to(CPU).mask for batch in validation_batches(chosen, "clean")])
    assert not all(torch.equal(one, other) for one, other in zip(masks[0], masks[1], strict=True))
    assert all(torch.equal(one, other) for one, other in zip(masks[1], masks[2], strict=True))
