"""A registry that was moved: the database names where its files are now, and rows of other places stay as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tasks.registry.database import relocate

# The columns of MLflow's tables that hold places (mlflow/store/tracking/dbmodels/models.py and its model registry).
TABLES = """
CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT);
CREATE TABLE model_versions (name TEXT, version INTEGER, source TEXT, storage_location TEXT, run_id TEXT);
"""


def test_rows_that_lie_beside_a_database_name_its_new_place_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "registry"
    folder.mkdir(parents=True)
    old, new = "/old/store/registry/artifacts", f"{folder}/artifacts"
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(TABLES)
        database.executemany("INSERT INTO experiments VALUES (?, ?)", [(1, old), (2, "s3://bucket/1"), (3, None)])
        runs = [("a", f"{old}/a/artifacts"), ("b", "s3://bucket/b/artifacts"), ("c", None), ("d", f"{new}/d/artifacts")]
        database.executemany("INSERT INTO runs VALUES (?, ?)", runs)
        versions = [
            ("m", 1, f"{old}/a/artifacts/hf", f"{old}/a/artifacts/hf", "a"),
            ("m", 2, f"{old}/a/artifacts/hf", None, None),  # registered by hand: no run says whose files these are
            ("m", 3, "models:/other/1", None, "b"),
        ]
        database.executemany("INSERT INTO model_versions VALUES (?, ?, ?, ?, ?)", versions)
        database.commit()
        assert relocate(folder / "mlflow.db") == 4
        rows = {
            table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
            for table in ("experiments", "runs", "model_versions")
        }
    assert rows["experiments"] == [(1, new), (2, "s3://bucket/1"), (3, None)]
    assert rows["runs"] == [("a", f"{new}/a/artifacts"), *runs[1:]]
    assert rows["model_versions"] == [
        ("m", 1, f"{new}/a/artifacts/hf", f"{new}/a/artifacts/hf", "a"),
        *versions[1:],
    ]
    assert relocate(folder / "mlflow.db") == 0
