"""Save and read what scores of trials were learned from: one safetensors file with the cohort and the calibration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from wavlm.errors import BadDataError
from wavlm.evaluation.tasks.back_end import BackEnd
from wavlm.evaluation.tasks.calibration import Calibration
from wavlm.evaluation.tasks.cohort import Cohort
from wavlm.nn.files import save_tensors
from wavlm.specs.speakers import TrialScoring
from wavlm.storage.seals import check_sealed

SPEC, SPEAKERS, NUM_TRIALS = "spec", "speakers", "num_trials"  # entries of the header


def save_back_end(back_end: BackEnd, path: Path) -> None:
    """Write it, in float64."""
    cohort, calibration = back_end.cohort, back_end.calibration
    arrays = {"mean": cohort.mean, "voices": cohort.voices}
    if calibration:
        arrays |= {"weights": calibration.weights, "bias": np.array([calibration.bias])}
    known = {
        SPEC: back_end.spec.model_dump_json(),
        SPEAKERS: json.dumps(cohort.speakers),
        NUM_TRIALS: str(back_end.num_trials),
    }
    save_tensors({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}, path, known)


def read_back_end(path: Path) -> BackEnd:
    """What `save_back_end` wrote. Raises BadDataError: CHECKSUM, RECORD_BROKEN."""
    check_sealed(path)
    try:
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 - not a mapping
        spec = TrialScoring.model_validate_json(known[SPEC])
        speakers = tuple(map(str, json.loads(known[SPEAKERS])))
        cohort = Cohort(arrays["mean"], arrays["voices"], speakers, spec.cohort)
        weights = arrays.get("weights")
        calibration = None if weights is None else Calibration(weights, float(arrays["bias"][0]))
        return BackEnd(spec, cohort, calibration, int(known[NUM_TRIALS]))
    except (SafetensorError, KeyError, ValueError, IndexError) as error:
        what = " ".join(str(error).split())
        raise BadDataError(
            "RECORD_BROKEN", f"what scores were learned from cannot be read: {what}; at {path}; train again"
        ) from error
