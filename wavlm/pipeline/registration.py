"""What the stage register reports: which version a model became, where, and why it is the champion or not.

A registration counts for the registry that it was made in. Which one that is, is told by a text without a password:
`registry/mlflow.db`, relative to the store, for the store's own, else the address in MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from wavlm.errors.secrets import without_secrets_in
from wavlm.evaluation.facts import Gain
from wavlm.pipeline.record import read_field
from wavlm.storage.facts import Facts, read_facts
from wavlm.storage.files import write_json

REGISTRATION_FILE = "registration.json"
GATE_FILE = "gate.json"
REPORT_FILE = "report.html"  # the page about the model; in the registry it is an artifact of the run
REGISTRY_FOLDER = "registry"  # in a store
DATABASE_FILE = "mlflow.db"
OWN_REGISTRY = f"{REGISTRY_FOLDER}/{DATABASE_FILE}"
TRACKING_URI = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"


class RegistrationFacts(Facts):
    """A registered version as it was when the registry confirmed it."""

    name: str  # of the registered model
    version: int
    run_id: str
    uri: str  # of the registry, without a password; of the store's own, its path in the store
    source: str  # where the registry keeps the model's files; in the store's own, their path in the store
    sha256: str  # of native/model.safetensors, which is the store's
    aliases: tuple[str, ...]
    champion: str  # why it is the champion, or is not
    experiment_id: str = ""  # of the run, for links to its pages; an earlier version did not record it


class GateFacts(Facts):
    """What the gate said of a version, and by which figures."""

    version: int
    sha256: str  # of the version's weights
    champion: int | None  # the version that was champion then
    is_champion: bool  # whether this one is from then on
    reason: str
    gain: Gain | None = None  # over that champion; None if both were not measured anew


@dataclass(frozen=True)
class Current:
    """What the registry says of a version now, which may have changed since it was registered."""

    aliases: tuple[str, ...]
    champion: str
    key: str = ""  # of the model


def write_registration(folder: Path, facts: RegistrationFacts) -> None:
    """Write the facts beside the plots, for people who look into the folder."""
    write_json(folder / REGISTRATION_FILE, facts.model_dump(mode="json"))


def write_gate(folder: Path, facts: GateFacts) -> None:
    """Write what the gate said into the folder of a registration."""
    write_json(folder / GATE_FILE, facts.model_dump(mode="json"))


def read_gate(folder: Path) -> GateFacts | None:
    """What the gate said; None if it has said nothing yet. Raises BadDataError (RECORD_BROKEN, CHECKSUM)."""
    path = folder / GATE_FILE
    return read_facts(path, GateFacts) if path.is_file() else None


def configured_registry(root: Path) -> str:
    """The registry that a command with this store asks: MLFLOW_TRACKING_URI, else the store's own."""
    asked = os.environ.get(TRACKING_URI, "").strip()
    uri = without_password(asked)
    if not uri or _is_same(uri, root):
        return OWN_REGISTRY
    if uri.startswith(SQLITE) and "?" not in asked:
        return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"
    return uri.rstrip("/")


def show_registry(place: str, root: Path) -> str:
    """A registry as an address that MLFLOW_TRACKING_URI takes."""
    return f"{SQLITE}{root / OWN_REGISTRY}" if place == OWN_REGISTRY else place


def without_password(uri: str) -> str:
    """The URI without user, password and query, for messages and records; of a wrong address, too."""
    return without_secrets_in(uri)


def explain_registry(folder: Path, root: Path) -> str | None:
    """Why a registration that is there does not count: it was made in another registry than is asked now."""
    wanted = configured_registry(root)
    try:
        facts = RegistrationFacts.model_validate(read_field(folder, "facts"), strict=False)
    except ValidationError:
        return None  # whoever reads the facts says so
    found = place_of(facts)
    if found == wanted:
        return None
    asked = "of this store" if wanted == OWN_REGISTRY else wanted
    return f"was registered in {found}, and the registry that is asked now is {asked} ({TRACKING_URI})"


def place_of(facts: RegistrationFacts) -> str:
    """The registry that a registration was made in. An earlier version recorded whole paths for the store's own."""
    if facts.uri.startswith(SQLITE):
        database = PurePosixPath(facts.uri.removeprefix(SQLITE))
        home = database.parent
        is_beside = facts.source.startswith(f"{home}/artifacts/")
        if (home.name, database.name) == (REGISTRY_FOLDER, DATABASE_FILE) and is_beside:
            return OWN_REGISTRY
    return without_password(facts.uri).rstrip("/")


def _is_same(uri: str, root: Path) -> bool:
    """Whether this is the database of the store's own registry, by whatever path."""
    if not uri.startswith(SQLITE):
        return False
    return Path(uri.removeprefix(SQLITE)).resolve() == (root / OWN_REGISTRY).resolve()
