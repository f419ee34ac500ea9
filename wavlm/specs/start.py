"""The spec of the weights that a training starts from."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from wavlm.specs.base import FieldError, Name, Sha256, Spec


class StartSpec(Spec):
    """Weights to start from, instead of random ones: a model of the recipe, or a model folder.

    The head is kept if it was trained for the labels of the very same codebook. Else it is drawn anew.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"folder", "model"})

    model: Name | None = None
    """Name of one of the recipe's `models`. Give either this, or `folder` and `sha256`.

    Change: to start from a released model, or from a version of the registry.
    """

    folder: str | None = None
    """A model folder, as `wavlm import` writes it. A relative path starts at the current folder.

    Change: when the folder has moved. The key of the model stays the same.
    """

    sha256: Sha256 | None = None
    """SHA-256 of the folder's `model.safetensors`, in hex.

    Change: together with the weights. This makes another model.
    """

    @model_validator(mode="after")
    def _check_one_place(self) -> StartSpec:
        if self.model is not None and (self.folder is not None or self.sha256 is not None):
            raise FieldError("model and folder are both given: a training starts from one of them", "model")
        if self.model is None and (self.folder is None or self.sha256 is None):
            raise FieldError(
                "give `model`, a name of the recipe's models; or `folder` and `sha256`",
                "sha256" if self.folder is not None else "folder",
            )
        return self
