"""A trained system of speaker verification in use: embed a recording, and verify that two are of one voice.

Legend: N samples, H width of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.heads.embedding import least_frames
from wavlm.evaluation.metrics.checks import Floats as Numbers
from wavlm.evaluation.tasks.back_end import BackEnd, embeddings_of
from wavlm.evaluation.tasks.back_end_files import read_back_end
from wavlm.evaluation.tasks.trials import Pairs
from wavlm.features.mfcc import Floats
from wavlm.finetune.facts import SCORING_FILE, read_head_file
from wavlm.finetune.load import LoadedSystem, load_system
from wavlm.specs import SAMPLE_RATE_HZ
from wavlm.specs.frames import PAPER_FRAMES
from wavlm.specs.heads import XvectorHead
from wavlm.specs.speakers import EcapaHead

ONE_TRIAL = Pairs(np.array([0]), np.array([1]), np.array([True]))


@dataclass(frozen=True)
class VoiceMatch:
    """How alike two voices are."""

    cosine: float  # of their embeddings, from -1 to 1
    score: float  # calibrated: a log-likelihood ratio; else AS-norm, else the cosine
    is_same: bool | None  # whether one voice is likelier than two; None: the score is not calibrated


@dataclass(frozen=True)
class SpeakerVerifier:
    """Embeds recordings and compares their voices."""

    system: LoadedSystem
    back_end: BackEnd | None

    def embed(self, waveform: Floats) -> Numbers:
        """The embedding (H,) of a waveform (N,), float at 16 kHz. It has length 1, so a product is a cosine.

        Without the mean of the training recordings, if the system knows it. Raises BadDataError (UTTERANCE_SHORT).
        """
        vector = self._embed(waveform)
        if self.back_end is not None:
            vector = vector - self.back_end.cohort.mean
        return vector / np.linalg.norm(vector)

    def verify(self, first: Floats, second: Floats) -> VoiceMatch:
        """Compare the voices of two waveforms."""
        if self.back_end is None:
            cosine = float(self.embed(first) @ self.embed(second))
            return VoiceMatch(cosine, cosine, None)
        prints = self.back_end.cohort.describe(np.stack([self._embed(first), self._embed(second)]))
        seconds = np.minimum(
            [len(first) / SAMPLE_RATE_HZ, len(second) / SAMPLE_RATE_HZ], self.back_end.spec.longest_seconds
        )
        scores = self.back_end.score_pairs(prints, seconds, ONE_TRIAL)
        *_, best = scores.values()
        score = float(best[0])
        return VoiceMatch(float(scores[""][0]), score, score > 0 if self.back_end.calibration else None)

    def _embed(self, waveform: Floats) -> Numbers:
        head = self.system.about.head
        assert isinstance(head, XvectorHead | EcapaHead)  # noqa: S101 - checked when it was loaded
        least = PAPER_FRAMES.window_samples + (least_frames(head) - 1) * self.system.about.hop_samples
        if len(waveform) < least:
            raise BadDataError(
                "UTTERANCE_SHORT",
                f"found {len(waveform)} samples, expected {least} or more at 16 kHz; in the waveform that is embedded; "
                "give a longer recording",
            )
        found: Numbers = embeddings_of([self.system.predict(waveform)])[0]
        return found


def load_verifier(folder: Path | str, device: str | None = None) -> SpeakerVerifier:
    """The system of speaker verification in a folder. device: that of torch; None: a GPU if there is one.

    Raises UsageError (SYSTEM_UNKNOWN) for a system of another task, and what `wavlm.load_system` raises.
    """
    folder = Path(folder)
    if (task := read_head_file(folder).task.type) != "asv":
        raise UsageError(
            "SYSTEM_UNKNOWN",
            f"found a system of the task {task}, expected one of asv; at {folder}; use wavlm.load_system",
        )
    path = folder / SCORING_FILE
    return SpeakerVerifier(load_system(folder, device), read_back_end(path) if path.exists() else None)
