"""A task of X-ARES on spoken digits: each speaker is tested by a layer trained on the others.

DIGITS_FOLDER names the recordings. The task writes them as tar files below `env` at its first use.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from xares.audiowebdataset import write_audio_tar
from xares.task import TaskConfig

sys.path.insert(0, str(Path(__file__).parent))  # X-ARES loads this file by its path
from digits import read_digits


def digits_config(encoder: torch.nn.Module | None) -> TaskConfig:
    """The configuration that X-ARES calls for. Utterances are encoded alone, so none is filled with zeros."""
    digits = read_digits(Path(os.environ["DIGITS_FOLDER"]))
    speakers = sorted({digit.speaker for digit in digits})
    config = TaskConfig(
        name="digits",
        encoder=encoder,
        private=True,  # nothing is downloaded
        k_fold_splits=speakers,
        label_processor=lambda label: label["digit"],
        output_dim=10,
        batch_size_encode=1,
        num_encoder_workers=0,
        torch_num_threads=1,
        eval_weight=len(digits),
    )
    folder = Path(config.env_root) / config.name
    folder.mkdir(parents=True, exist_ok=True)
    for speaker in speakers:
        own = [digit for digit in digits if digit.speaker == speaker]
        labels = [{"digit": digit.digit} for digit in own]
        write_audio_tar(
            [str(digit.path) for digit in own], labels, f"{folder}/wds-audio-fold-{speaker}-*.tar", "flac", 1
        )
    (folder / config.xares_settings.audio_ready_filename).touch()
    return config
