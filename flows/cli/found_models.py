"""The place of a model that a command names: a folder, a file, or a version of the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def found_model(model: str, store: Path, out: Path) -> Iterator[Path]:
    """The place of the model. One of the registry is fetched for the time being, beside `out`, which workers see."""
    from wavlm.pipeline.request import reference_of
    from wavlm.pipeline.store import Store

    reference = reference_of(model)
    if reference is None:
        yield Path(model).expanduser()
        return
    from tasks.registry.lookup import pull_model

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-model-") as temporary:
        yield pull_model(Store(store), reference, Path(temporary) / "model")
