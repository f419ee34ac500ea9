"""The libraries that score, imported where they are used; a missing one is one clear error."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from wavlm.errors import ServiceMissingError

INSTALL = "pip install 'wavlm-pipeline[evaluation]' (pesq, meeteval and pyworld build from source: a C++ compiler)"


def load_scorer(name: str) -> ModuleType:
    """A module of the extra `evaluation`. Raises ServiceMissingError (PACKAGE_MISSING) where it cannot be imported."""
    try:
        return import_module(name)
    except ImportError as error:
        raise _missing(name, str(error)) from error


def load_world() -> ModuleType:
    """The compiled module of pyworld.

    The package itself imports `pkg_resources`, only to know its own version; setuptools has none since its version 82.
    """
    package = find_spec("pyworld")
    folders = list(package.submodule_search_locations or ()) if package else []
    paths = [Path(folder) / f"pyworld{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in paths if path.exists()), None)
    spec = spec_from_file_location("pyworld.pyworld", path) if path else None
    if spec is None or spec.loader is None:
        raise _missing("pyworld", "not found")
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        raise _missing("pyworld", str(error)) from error
    return module


def _missing(name: str, why: str) -> ServiceMissingError:
    return ServiceMissingError(
        "PACKAGE_MISSING",
        f"the scorer {name} cannot be imported: {why}; in {sys.prefix}; install the extra `evaluation`: {INSTALL}",
    )
