"""A model as an audio encoder of MTEB (MAEB), and a task on spoken digits that needs no download.

    python mteb_digits.py MODEL_FOLDER DIGITS_FOLDER OUT

With network, `mteb.evaluate(encoder, mteb.get_tasks(modalities=["audio"]))` runs the board's own tasks instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import soundfile
import torch
from datasets import Dataset, DatasetDict
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.modality_collators import AudioCollator
from mteb.models.model_meta import ModelMeta

sys.path.insert(0, str(Path(__file__).parent))
from digits import read_digits
from frames import SAMPLE_RATE_HZ, LayerFrames

TEST_SPEAKERS = ("lucas", "theo")


class WavlmAudioEncoder(AbsEncoder):
    """The mean over time of one layer's frames. Each utterance is encoded alone."""

    def __init__(self, folder: Path, layer: int | None, name: str) -> None:
        self.frames = LayerFrames(folder, layer)
        self.mteb_model_meta = ModelMeta.create_empty({"name": name, "revision": "1", "modalities": ["audio"]})

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        """What MTEB calls: a loader of batches of recordings to (utterances, D)."""
        inputs.collate_fn = AudioCollator(target_sampling_rate=SAMPLE_RATE_HZ)
        return np.stack([self._embed(audio["array"]) for batch in inputs for audio in batch["audio"]])

    def _embed(self, samples: Iterable[float]) -> np.ndarray:
        waveform = torch.as_tensor(np.asarray(samples, dtype=np.float32))[None]
        return self.frames(waveform)[0].mean(0).numpy()


class DigitsBySpeaker(AbsTaskClassification):
    """Ten classes; the speakers of the test part are in no other part, unlike in MTEB's own task FSDD."""

    folder = Path()
    input_column_name = "audio"
    label_column_name = "label"
    metadata = TaskMetadata(
        name="DigitsBySpeaker",
        description="Spoken digits of speakers that were not trained on",
        dataset={"path": "local", "revision": "1"},
        type="AudioClassification",
        category="a2c",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="accuracy",
        modalities=["audio"],
    )

    def load_data(self, **_: Any) -> None:
        """Read the recordings, whatever MTEB asks for."""
        parts: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
        for digit in read_digits(self.folder):
            samples, rate = soundfile.read(digit.path, dtype="float32")
            row = {"audio": {"array": samples, "sampling_rate": rate}, "label": digit.digit}
            parts["test" if digit.speaker in TEST_SPEAKERS else "train"].append(row)
        as_arrays = {name: Dataset.from_list(rows).with_format("numpy") for name, rows in parts.items()}
        self.dataset = DatasetDict(as_arrays)
        self.data_loaded = True


def main() -> None:
    """Evaluate, and write MTEB's scores as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("digits", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layer", type=int, help="0 to the number of layers; not given: the mean over all")
    arguments = parser.parse_args()
    DigitsBySpeaker.folder = arguments.digits
    encoder = WavlmAudioEncoder(arguments.model, arguments.layer, f"local/{arguments.model.name}")
    task = DigitsBySpeaker()
    found = mteb.evaluate(encoder, task, cache=None, encode_kwargs={"batch_size": 1})
    scores = found.task_results[0].scores["test"][0]
    kept = {name: scores[name] for name in ("accuracy", "f1", "main_score", "hf_subset", "languages")}
    arguments.out.write_text(json.dumps(kept | {"mteb": mteb.__version__}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
