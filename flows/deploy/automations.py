"""The shipped automations: read from the YAML files of this folder, and filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.events.schemas.automations import AutomationCore
from ruamel.yaml import YAML

LOST_RUNS = "lost-runs.yaml"
NOTIFICATIONS = "notifications.yaml"
AFTER_PREPARE = "after-prepare.yaml"
REFRESH_DUE = "refresh-due.yaml"
FOLDER = Path(__file__).parent


def read_automations(name: str, values: Mapping[str, str] | None = None) -> tuple[AutomationCore, ...]:
    """The automations of a file, with each `<name>` in their texts replaced by its value."""
    tree = YAML(typ="safe").load((FOLDER / name).read_text(encoding="utf-8"))
    return tuple(AutomationCore.model_validate(_fill(item, values or {})) for item in tree["automations"])


def _fill(tree: Any, values: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _fill(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_fill(item, values) for item in tree]
    if isinstance(tree, str):
        for name, value in values.items():
            tree = tree.replace(f"<{name}>", value)
    return tree
