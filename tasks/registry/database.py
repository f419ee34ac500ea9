"""A registry in a file: MLflow's SQLite database, with the files of its runs in a folder beside it.

MLflow writes down whole paths, so a store that was moved or copied would look for its files in the old place, and write
there. No path of the database is believed here: the files of a run lie in `artifacts/<run id>/artifacts` beside the
database. `relocate` writes that into the database, for programs that use MLflow alone.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from wavlm.errors import Code, LockedError, ServiceMissingError
from wavlm.pipeline.registration import SQLITE

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

ARTIFACTS_FOLDER = "artifacts"
BUSY_SECONDS = 20.0
_SPECIAL = re.compile("[?#%]")  # MLflow and SQLAlchemy would take a path with one of these for something else
# Columns that hold the place of files: table, column, the columns that name the row, and that of its run.
_COLUMNS = (
    ("runs", "artifact_uri", ("run_uuid",), "run_uuid"),
    ("model_versions", "source", ("name", "version"), "run_id"),
    ("model_versions", "storage_location", ("name", "version"), "run_id"),
)


def database_of(uri: str) -> Path | None:
    """The database file of a registry's address; None if it is no SQLite file."""
    if not uri.startswith(SQLITE):
        return None
    path, _, options = uri.removeprefix(SQLITE).partition("?")
    return Path(unquote(path.removeprefix("file:")) if "uri=true" in options else path).absolute()


def address_of(database: Path) -> str:
    """The registry's address for MLflow."""
    if _SPECIAL.search(str(database)):
        return f"{SQLITE}file:{quote(str(database))}?uri=true"
    return f"{SQLITE}{database}"


def artifact_root(database: Path) -> Path:
    """The folder beside a database that holds the files of its runs. Links are followed, so that it has one name."""
    return database.parent.resolve() / ARTIFACTS_FOLDER


def location(path: Path) -> str:
    """How MLflow names a local folder: by its path, or by a file URI if it would read the path as something else."""
    return path.as_uri() if _SPECIAL.search(str(path)) else str(path)


def require_writable(database: Path) -> None:
    """Raise LockedError (REGISTRY_READONLY) unless this user can write the database, or make it."""
    folder = next(item for item in (database.parent, *database.parents) if item.exists())
    if os.access(folder, os.W_OK) and (not database.exists() or os.access(database, os.W_OK)):
        return
    raise LockedError(
        Code.REGISTRY_READONLY,
        f"this user may not write the registry; at {database}; let its owner give the group the right to write: "
        f"chmod -R g+rwX {shlex.quote(str(database.parent))}",
    )


def is_writable(database: Path) -> bool:
    """Whether this user can write the database, and its journal beside it."""
    return os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)


def place_beside(database: Path, run_id: str, place: str) -> Path | None:
    """Where what a run calls its `place` is now; None if it never was beside the database."""
    home = f"/{database.parent.resolve().name}/{ARTIFACTS_FOLDER}/{run_id}/artifacts"
    _, found, rest = f"{_path(place)}/".rpartition(f"{home}/")
    return artifact_root(database) / run_id / "artifacts" / rest.strip("/") if found else None


def relocate(database: Path, copy: Path | None = None) -> int:
    """Make the database, or a copy of it, name the places where its files are now; returns how many were other ones."""
    with _open(copy or database) as found:
        changes = [
            *_experiments(found, database),
            *(change for column in _COLUMNS for change in _moved(found, database, *column)),
        ]
        for statement, values in changes:
            found.execute(statement, values)
        found.commit()
    return len(changes)


def _experiments(found: sqlite3.Connection, database: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The experiments whose runs lie beside the database, as far as they say another place."""
    root = artifact_root(database)
    wanted, beside = location(root), f"/{root.parent.name}/{ARTIFACTS_FOLDER}"
    rows = found.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
    for number, place in rows:
        if place and place != wanted and _path(place).endswith(beside):
            yield "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (wanted, number)


def _moved(
    found: sqlite3.Connection, database: Path, table: str, column: str, names: tuple[str, ...], run: str
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The rows of a table whose files lie beside the database, as far as they say another place."""
    row = " AND ".join(f"{name} = ?" for name in names)
    columns = ", ".join((column, run, *names))
    for place, run_id, *values in found.execute(f"SELECT {columns} FROM {table}").fetchall():  # noqa: S608 - our words
        now = place_beside(database, run_id, place) if place and run_id else None
        if now and place != location(now):
            yield f"UPDATE {table} SET {column} = ? WHERE {row}", (location(now), *values)  # noqa: S608 - our words


def _path(place: str) -> str:
    """The path of a local place, empty for one on a server."""
    if place.startswith("file:"):
        return unquote(urlsplit(place).path)
    return place if place.startswith("/") else ""


def require_schema(database: Path, *, may_change: bool) -> None:
    """Raise ServiceMissingError (REGISTRY_VERSION) if another version of MLflow wrote the database than can read it.

    An older one is brought up to date, if it may be changed; a copy of how it was stays beside it.
    """
    with _open(database) as found:
        if not found.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return  # empty
        (version,) = found.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    scripts = _scripts()
    known = {item.revision for item in scripts.walk_revisions()}
    if version == scripts.get_current_head():
        return
    if version in known and may_change:
        _upgrade(database, version)
        return
    from mlflow.version import VERSION

    age, advice = (
        ("an older", f"let somebody who may write it run: mlflow db upgrade {address_of(database)}")
        if version in known
        else ("a newer", "install that version: pip install --upgrade mlflow")
    )
    raise ServiceMissingError(
        "REGISTRY_VERSION",
        f"{age} version of MLflow wrote the registry (schema {version or 'unknown'}), this is MLflow {VERSION} (schema "
        f"{scripts.get_current_head()}); at {database}; {advice}",
    )


def _scripts() -> ScriptDirectory:
    """The schema versions that this MLflow knows."""
    import mlflow.store
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.store.__file__).parent / "db_migrations"))


def _upgrade(database: Path, version: str) -> None:
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine  # what `mlflow db upgrade` calls

    shutil.copy2(database, database.with_name(f"{database.name}.{version}"))
    engine = create_sqlalchemy_engine(address_of(database))  # type: ignore[no-untyped-call]
    _upgrade_db(engine)  # type: ignore[no-untyped-call]
    engine.dispose()


@contextmanager
def _open(database: Path) -> Iterator[sqlite3.Connection]:
    mode = "rw" if is_writable(database) else "ro"
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode={mode}", BUSY_SECONDS, uri=True)) as found:
        yield found
