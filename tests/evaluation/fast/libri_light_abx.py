"""Write tokens of random frames, and their ABX by libri-light: `python libri_light_abx.py OUT.json`.

Run it in the folder `eval` of a clone of https://github.com/facebookresearch/libri-light, in an environment of its own
with torch, Cython and progressbar2, once `ABX_src/dtw.pyx` is built. One file per token, all of whose frames it holds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

SPEAKERS = "rst"


def main(out: Path) -> None:
    """Write the file."""
    # What reads checkpoints of another network, and is not needed.
    sys.modules["CPC_loader"] = types.ModuleType("CPC_loader")
    sys.modules["CPC_loader"].__dict__.update(load_cpc_features=None, build_feature_from_file=None)
    sys.path.insert(0, ".")
    from eval_ABX import ABX, load_npy

    rng = np.random.default_rng(0)
    centres = {phone: rng.normal(size=3) for phone in "abc"}
    tokens, lines, files = [], ["#file onset offset #phone prev-phone next-phone speaker"], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(110):
            phone, speaker = "abc"[rng.integers(3)], SPEAKERS[rng.integers(3)]
            before, after = "kp"[rng.integers(2)], "mn"[rng.integers(2)]
            noise = 1.2 * rng.normal(size=(int(rng.integers(1, 6)), 3))
            frames = np.round(centres[phone] + noise + 0.3 * SPEAKERS.index(speaker), 2)
            path = Path(name, f"t{number:03d}.npy")
            np.save(path, frames.astype(np.float32))
            files.append((path.stem, str(path)))
            lines.append(f"{path.stem} 0.0 9.0 {phone} {before} {after} {speaker}")
            tokens.append({"phone": phone, "context": [before, after], "speaker": speaker, "frames": frames.tolist()})
        items = Path(name, "tokens.item")
        items.write_text("\n".join(lines) + "\n")
        scores = ABX(
            load_npy, str(items), files, "cosine", 100, ["within", "across"], max_x_across=99, max_size_group=99
        )
    text = json.dumps({**scores, "tokens": tokens}, separators=(",", ":"))
    out.write_text(text.replace('{"phone"', '\n{"phone"') + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
