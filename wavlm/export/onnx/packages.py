"""The packages of the extra `onnx`, imported where they are used; a missing one is one clear error."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from wavlm.errors import ServiceMissingError


def load_package(name: str) -> ModuleType:
    """A module of the extra. Raises ServiceMissingError (PACKAGE_MISSING) where it cannot be imported."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ServiceMissingError(
            "PACKAGE_MISSING",
            f"{name} cannot be imported: {error}; in {sys.prefix}; install the extra `onnx`: "
            "pip install 'wavlm-pipeline[onnx]'",
        ) from error
