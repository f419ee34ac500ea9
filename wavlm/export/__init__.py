"""Other people's layouts: Hugging Face folders and fairseq files, out and in, head included."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from wavlm.errors import UsageError
from wavlm.export.card import Card as Card
from wavlm.export.card import model_card as model_card
from wavlm.export.errors import ImportRefusedError as ImportRefusedError
from wavlm.export.fairseq import obstacle_of, read_fairseq, write_fairseq
from wavlm.export.hf import HEAD_FILE, read_hf, write_hf
from wavlm.nn import WavLM, load_model, save_model
from wavlm.nn.files import NETWORK_FILE
from wavlm.storage.files import sha256_of, write_text

HF_FOLDER = "hf"
FAIRSEQ_FOLDER = "fairseq"
PAPER_CLUSTERS = 500


def build_export(model_dir: Path, card: Card, out: Path) -> dict[str, JsonValue]:
    """Write `hf/` and `fairseq/<name>.pt` from a model folder; facts name each file's sha256.

    A network that the fairseq layout cannot hold gets no `fairseq/`; the facts say why.
    """
    model = load_model(model_dir)
    write_hf(model, out / HF_FOLDER)
    write_text(out / HF_FOLDER / "README.md", model_card(card, model.network))
    obstacle = obstacle_of(model)
    if obstacle is None:
        write_fairseq(model, out / FAIRSEQ_FOLDER / f"{card.name}.pt")
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "no_fairseq_file": obstacle,  # why there is none; None: there is one
        "sha256": {path.relative_to(out).as_posix(): sha256_of(path) for path in files},
    }


def load(path: Path | str) -> WavLM:
    """A network in eval mode from a model folder, a Hugging Face folder or a fairseq-layout .pt.

    A checkpoint that was released without its pre-training head gets an untrained one.
    """
    return _read(Path(path), PAPER_CLUSTERS).eval()


def import_model(path: Path, out: Path, *, num_clusters: int = PAPER_CLUSTERS) -> dict[str, JsonValue]:
    """Write a new model folder from a Hugging Face folder or a fairseq-layout .pt.

    num_clusters is for a checkpoint without a head: it gets a fresh one of that many classes.
    """
    if out.exists():
        raise UsageError("OUT_EXISTS", f"there is something already; at {out}; name a new folder")
    model = _read(path, num_clusters)
    save_model(model, out)
    return {
        "num_clusters": model.num_clusters,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _read(path: Path, num_clusters: int) -> WavLM:
    if (path / NETWORK_FILE).is_file():
        return load_model(path)
    if (path / "config.json").is_file():
        return read_hf(path, num_clusters)
    if path.is_file():
        return read_fairseq(path, num_clusters)
    raise ImportRefusedError(
        f"{path}: expected a model folder ({NETWORK_FILE}), a Hugging Face folder (config.json; "
        f"with {HEAD_FILE} for the head) or a fairseq-layout .pt file"
    )
