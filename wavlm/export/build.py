"""The export stage: a model folder becomes a Hugging Face folder and a fairseq file."""

from __future__ import annotations

import shutil
from pathlib import Path

from wavlm.export.card import Card, model_card
from wavlm.export.facts import ExportFacts
from wavlm.export.fairseq import obstacle_of, write_fairseq
from wavlm.export.hf import write_hf
from wavlm.nn import load_model
from wavlm.storage.files import sha256_of, write_text

HF_FOLDER = "hf"
FAIRSEQ_FOLDER = "fairseq"


def build_export(model_dir: Path, card: Card, out: Path) -> ExportFacts:
    """Write `hf/` and `fairseq/<name>.pt` from a model folder.

    There is no `fairseq/` if that layout cannot represent the network; the facts contain the reason.
    What a killed attempt left in these folders is removed, for it may have other names.
    """
    model = load_model(model_dir)
    for name in (HF_FOLDER, FAIRSEQ_FOLDER):
        shutil.rmtree(out / name, ignore_errors=True)
    write_hf(model, out / HF_FOLDER)
    write_text(out / HF_FOLDER / "README.md", model_card(card, model.network))
    obstacle = obstacle_of(model)
    if obstacle is None:
        write_fairseq(model, out / FAIRSEQ_FOLDER / f"{card.name}.pt")
    files = sorted(path for name in (HF_FOLDER, FAIRSEQ_FOLDER) for path in (out / name).glob("*"))
    return ExportFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        no_fairseq_file=obstacle,
        sha256={path.relative_to(out).as_posix(): sha256_of(path) for path in files},
    )
