"""Write what the Conformer of CSS_with_Conformer gives for made-up weights and spectra, for tests/evaluation/css.

    git clone https://github.com/Sanyuan-Chen/CSS_with_Conformer
    python -m tests.evaluation.reference.make_css CSS_with_Conformer

Its code is imported, and none of it is kept here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from tests.evaluation.reference import values
from tests.evaluation.reference.values import CSS, NUM_CSS_FRAMES, uniform


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    from nnet.conformer import ConformerCSS

    settings = {
        "attention_dim": CSS["width"],
        "attention_heads": CSS["heads"],
        "linear_units": CSS["feed_forward"],
        "num_blocks": CSS["layers"],
        "kernel_size": CSS["kernel"],
        "dropout_rate": 0.0,
        "relative_pos_emb": True,
    }
    model = ConformerCSS(conformer_conf=settings).eval()
    state = {
        name: torch.from_numpy(values.tensor(name, tuple(it.shape)))
        for name, it in model.state_dict().items()
        if it.dim()
    }
    state |= {"input_bias": model.input_bias.data, "input_scale": model.input_scale.data}
    model.load_state_dict(state, strict=False)
    frames = torch.from_numpy(uniform("css frames", 1, NUM_CSS_FRAMES, 257))
    with torch.no_grad():
        encoded, _ = model.conformer(frames, None)
        masks = torch.stack(model(frames.transpose(1, 2)), dim=1).transpose(2, 3)
    np.savez(Path(__file__).with_name("css.npz"), encoded=encoded.numpy(), masks=masks[:, :, ::4].numpy())


if __name__ == "__main__":
    main(sys.argv[1])
