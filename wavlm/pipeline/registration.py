"""What the stage register reports: which version a model became, and why it is the champion or not."""

from __future__ import annotations

from pathlib import Path

from wavlm.storage.facts import Facts
from wavlm.storage.files import write_json

REGISTRATION_FILE = "registration.json"
REPORT_FILE = "report.html"  # the page about the model; in the registry it is an artifact of the run


class RegistrationFacts(Facts):
    """A registered version as it was when the registry confirmed it."""

    name: str  # of the registered model
    version: int
    run_id: str
    uri: str  # of the registry, without a password
    source: str  # where the registry keeps the model's files
    sha256: str  # of native/model.safetensors, which is the store's
    aliases: tuple[str, ...]
    champion: str  # why it is the champion, or is not


def write_registration(folder: Path, facts: RegistrationFacts) -> None:
    """Write the facts beside the plots, for people who look into the folder."""
    write_json(folder / REGISTRATION_FILE, facts.model_dump(mode="json"))
