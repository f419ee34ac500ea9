"""The error for a model file in another layout that is refused."""

from __future__ import annotations

from wavlm.nn import ModelFileError


class ImportRefusedError(ModelFileError):
    """A file is unsafe, broken, or describes a network that this project does not support."""
