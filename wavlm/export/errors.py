"""Why another layout's file was not taken."""

from __future__ import annotations

from wavlm.nn import ModelFileError


class ImportRefusedError(ModelFileError):
    """A foreign file is unsafe, broken, or describes a network that this project cannot express."""
