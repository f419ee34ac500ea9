"""Hand a model over in another program's layout, by folder or by its name in the registry."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from wavlm.errors import BadDataError, UsageError
from wavlm.export import FAIRSEQ_FOLDER, HF_FOLDER, load
from wavlm.export.fairseq import write_fairseq
from wavlm.export.hf import write_hf
from wavlm.pipeline.artifacts import Export
from wavlm.pipeline.record import RECORD_FILE, read_field, read_head
from wavlm.pipeline.store import Store
from wavlm.storage.seals import check_sealed

_log = logging.getLogger(__name__)

ModelLayout = Literal["hf", "fairseq"]


def export_as(model: str, layout: ModelLayout, out: Path, store: Store) -> Path:
    """Write a model folder, or a version of the registry, as `out`, which must not be there yet.

    The store's own export is copied if it has one, for that holds the model card as well.
    """
    if out.exists():
        raise UsageError("OUT_EXISTS", f"there is something already; at {out}; name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _folder(model, store) as (folder, key):
        sealed = _find_export(store, key)
        if sealed:
            _copy(sealed, layout, out)
        elif layout == "hf":
            write_hf(load(folder), out)
        else:
            write_fairseq(load(folder), out)
    return out


def export_as_onnx(
    model: str, out: Path, store: Store, layers: Sequence[int] | None, *, int8: bool, speech: Path | None
) -> Iterator[str]:
    """Write a model as ONNX, see `wavlm.evaluation.onnx_export`; what was written, in lines."""
    from wavlm.evaluation.onnx_export import export_onnx

    with _folder(model, store) as (folder, _):
        facts = export_onnx(folder, out, layers, int8=int8, speech=speech)
    for name, size in facts.megabytes.items():
        yield f"{out / name}: {size:.1f} MB"
    for drift in facts.drift:
        worst = max(drift.outputs, key=lambda it: it.relative_difference)
        kept = min(it.labels_kept for it in drift.outputs)
        yield (
            f"{drift.file}: at most {100 * worst.relative_difference:.2g} % from torch ({worst.output}), "
            f"{100 * kept:.2f} % of labels stay or more"
        )


@contextmanager
def _folder(model: str, store: Store) -> Iterator[tuple[Path, str]]:
    """A model's folder and its key, or an empty one for a model that the store did not make."""
    path = Path(model)
    if path.exists():
        is_sealed = (path / RECORD_FILE).is_file()
        yield path, read_head(path).key if is_sealed else ""
        return
    from tasks.registry.lookup import pull_model, resolve

    version = resolve(store, model)
    with tempfile.TemporaryDirectory() as temporary:
        yield pull_model(store, version.reference, Path(temporary) / "model"), version.key


def _find_export(store: Store, key: str) -> Path | None:
    """The export of the model with this key, if the store holds it."""
    exports = (folder for folder in store.folders() if folder.parent.name == Export.kind)
    return next((folder for folder in exports if _is_export_of(folder, key)), None)


def _is_export_of(folder: Path, key: str) -> bool:
    try:
        return read_field(folder, "identity").get("model") == key
    except BadDataError as error:
        _log.warning("an export does not count: %s", error)
        return False


def _copy(sealed: Path, layout: ModelLayout, out: Path) -> None:
    for path in (sealed / (HF_FOLDER if layout == "hf" else FAIRSEQ_FOLDER)).iterdir():
        check_sealed(path)
    if layout == "hf":
        shutil.copytree(sealed / HF_FOLDER, out)
    else:
        (checkpoint,) = (sealed / FAIRSEQ_FOLDER).glob("*.pt")
        shutil.copyfile(checkpoint, out)
