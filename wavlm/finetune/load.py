"""A trained system for inference: network, head and task, from the folder that fine-tuning wrote.

Legend: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors.torch import load_file

from wavlm.errors import UsageError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Batch, Recalls, Size, Trainee
from wavlm.features.hidden import PIECE_SAMPLES, default_device, single_precision
from wavlm.features.mfcc import Floats
from wavlm.finetune.build import random_network
from wavlm.finetune.data import Frames, frames_of, hear
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE, HeadFile, read_head_file
from wavlm.finetune.scoring import batch_of_pieces, predict_whole
from wavlm.finetune.system import Heard, TunedSystem
from wavlm.nn import load_model
from wavlm.nn.description import NETWORK_FILE
from wavlm.storage.seals import check_sealed


@dataclass(frozen=True)
class LoadedSystem:
    """A system that predicts: what it gives for a waveform is what its task says."""

    about: HeadFile
    system: TunedSystem
    trainee: Trainee
    frames: Frames | None  # of a baseline without a network
    device: torch.device

    def predict(self, waveform: Floats) -> JsonValue:
        """The prediction for one waveform (N,) at 16 kHz, in the task's own form: a class, symbols, an embedding."""
        return predict_whole(self.system, self.trainee, self._hear(waveform))[0]

    def batch(self, waveform: Floats) -> Batch:
        """One waveform (N,) with its states, as the head takes them."""
        heard = self._hear(waveform)
        with torch.inference_mode(), single_precision():
            if heard.waveforms.shape[1] > PIECE_SAMPLES:
                return batch_of_pieces(self.system, heard)
            return self.system.batch(heard)

    def _hear(self, waveform: Floats) -> Heard:
        example = Example("", "", "", len(waveform), Take(0, 0), None)
        return hear([waveform], [example], self.frames).to(self.device)


def load_system(folder: Path | str, device: str | None = None) -> LoadedSystem:
    """The system in a folder, ready to predict. device: that of torch; None: a GPU if there is one.

    Raises UsageError (SYSTEM_UNKNOWN) for a folder without a system, or of a task whose systems cannot be loaded, and
    BadDataError for files that are damaged.
    """
    folder = Path(folder)
    about = read_head_file(folder)
    task = make_task(about)
    if not about.can_be_recalled or not isinstance(task, Recalls):
        raise UsageError(
            "SYSTEM_UNKNOWN",
            f"systems of the task {about.task.type} with the head {about.head.type} cannot be loaded; at {folder}; "
            "use its network alone: wavlm.load",
        )
    trainee = task.recall(about.learned)
    where = torch.device(device or default_device())
    network = load_model(folder) if (folder / NETWORK_FILE).exists() else random_network(about.baseline)
    head = trainee.make_head(Size(about.num_states, about.num_channels, about.hop_samples))
    check_sealed(folder / HEAD_WEIGHTS_FILE)
    head.load_state_dict(load_file(folder / HEAD_WEIGHTS_FILE))
    system = TunedSystem(network, head, is_pooled=task.is_pooled).to(where).eval()
    return LoadedSystem(about, system, trainee, frames_of(about.baseline), where)
