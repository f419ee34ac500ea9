"""The figure that a reference publishes where it chooses a head on the test part. It is computed when all is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.cache import Features
from wavlm.evaluation.fit.head import kept_path, predict
from wavlm.evaluation.results.facts import Figure
from wavlm.evaluation.tasks.task import Size, Trainee
from wavlm.specs.evaluation import FitSpec
from wavlm.storage.files import require_whole


def score_best_on_test(  # noqa: PLR0913, PLR0917 - of what, by what, where
    trainee: Trainee,
    test: Sequence[Example],
    features: Features,
    size: Size,
    fit: FitSpec,
    learning_rate: float,
    folder: Path,
    device: str,
) -> Figure:
    """The best figure of all kept heads of the chosen learning rate, the mean over seeds."""
    best, counts = [], []
    for seed in fit.seeds:
        path = folder / f"{learning_rate:g}-{seed}.safetensors"
        figures = []
        for kept in sorted(path.parent.glob(kept_path(path, "*").name)):
            require_whole(kept, f"remove {folder} and run again: its heads are fitted anew")
            head = trainee.make_head(size).to(device)
            head.load_state_dict(load_file(kept, device))
            found = predict(trainee, head, test, features, device)
            figures.append(trainee.score(test, found, with_intervals=False)[0])
        sign = 1 if figures[0].is_lower_better else -1
        best.append(min(figures, key=lambda figure: sign * figure.value))
        counts.append(len(figures))
    return Figure(
        name=f"{best[0].name}_best_on_test",
        value=float(np.mean([figure.value for figure in best])),
        is_lower_better=best[0].is_lower_better,
        note=f"the best on test of {' and '.join(map(str, counts))} heads, as the reference chooses; it flatters, "
        "so it compares with published figures alone; no interval",
    )
