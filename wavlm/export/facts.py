"""What the stages export and model report: sizes and digests, and what a model from elsewhere was learnt from."""

from __future__ import annotations

from typing import Literal

from wavlm.storage.facts import Facts


class ExportFacts(Facts):
    """The result of the export stage."""

    parameters: int
    no_fairseq_file: str | None  # why there is none; None: there is one
    sha256: dict[str, str]  # by the path below the export's folder


class Origin(Facts):
    """What binds who uses a model by its licence: a corpus that it was learnt from, or a model that it continues."""

    name: str
    role: Literal["speech", "noise", "room", "model"]
    license: str = ""
    homepage: str = ""
    citation: str = ""


class RegisteredOrigin(Facts):
    """The version of the registry that a model was taken from."""

    model: str
    version: str
    key: str = ""  # of the artifact that was registered; empty for versions that others registered
    place: str = ""  # the registry


class ModelFacts(Facts):
    """The result of the model stage: a model from elsewhere, in this pipeline's form."""

    layout: Literal["native", "hf", "fairseq", "system"]
    content: str  # digest of what was read: `wavlm.export.sources.content_of`
    sha256: str  # of `model.safetensors`, as it was written here
    parameters: int
    num_layers: int
    width: int
    has_head: bool  # a trained one
    num_clusters: int  # of the head; 0: it has a quantiser
    codebook: str = ""  # sha256 of the centroids that the head was trained for; empty: not known
    registered: RegisteredOrigin | None = None
    origins: tuple[Origin, ...] = ()  # what is known of what it was learnt from
