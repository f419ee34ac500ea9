"""Write what BUT's EEND-EDA gives for made-up weights and frames, for tests/evaluation/eend.

    git clone https://github.com/BUTSpeechFIT/EEND
    python -m tests.evaluation.reference.make_eend EEND/eend

Its code is imported, and none of it is kept here. Frames are not shuffled, and both utterances are equally long, as its
losses are means over padding otherwise.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from tests.evaluation.reference import values
from tests.evaluation.reference.values import EEND, NUM_EEND_FRAMES, uniform


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    from backend.models import TransformerEDADiarization

    model = TransformerEDADiarization(
        device=torch.device("cpu"),
        in_size=EEND["width"],
        n_units=EEND["encoder"],
        e_units=EEND["feed_forward"],
        n_heads=EEND["heads"],
        n_layers=EEND["layers"],
        dropout=0.0,
        vad_loss_weight=0.0,
        attractor_loss_ratio=1.0,
        attractor_encoder_dropout=0.0,
        attractor_decoder_dropout=0.0,
        detach_attractor_loss=False,
    ).eval()
    state = {name: torch.from_numpy(values.tensor(name, tuple(it.shape))) for name, it in model.state_dict().items()}
    model.load_state_dict(state)
    xs = torch.from_numpy(uniform("eend frames", 2, NUM_EEND_FRAMES, EEND["width"]))
    truth = torch.from_numpy((uniform("eend activity", 2, NUM_EEND_FRAMES, EEND["speakers"]) > 0).astype(np.float32))
    counts = [EEND["speakers"]] * 2
    logits, existence = model(xs, truth, counts, SimpleNamespace(time_shuffle=False))
    loss, activity = model.get_loss(logits, truth.clone(), counts, existence, 0.0, detach_attractor_loss=False)
    _, probabilities = model.eda.estimate(model.get_embeddings(xs), 4)
    names = {"frames": model.get_embeddings(xs), "logits": logits, "existence": existence, "activity": activity}
    names |= {"loss": loss, "probabilities": torch.stack(probabilities)}
    np.savez(Path(__file__).with_name("eend.npz"), **{name: it.detach().numpy() for name, it in names.items()})


if __name__ == "__main__":
    main(sys.argv[1])
