"""MLflow SQLite stores for tests: migrated once for each machine, then copied in milliseconds.

A new MLflow store runs every migration, which takes eight seconds. `prepared_store` keeps one migrated file in the
user's cache folder for each MLflow version, made under a file lock so that concurrent runs share it; `copy_store`
gives a test a copy of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path


def cache_directory() -> Path:
    """The folder, of this user and this MLflow version, in which the prepared store lies."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "tracewatch" / f"mlflow-{version('mlflow')}"


def prepared_store(directory: Path | None = None) -> Path:
    """The path of a migrated, empty MLflow store, made in `directory` (default: the user's cache) if absent."""
    folder = directory if directory is not None else cache_directory()
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "store.db"
    with (folder / "store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            unfinished = folder / "store.unfinished.db"
            unfinished.unlink(missing_ok=True)
            _migrate(unfinished)
            unfinished.rename(store)
    return store


def copy_store(target: Path, prepared: Path | None = None) -> str:
    """Copy the prepared store to the file `target` and return its tracking URI.

    The default experiment's artifacts go to the folder `artifacts` beside `target`.
    """
    source = prepared if prepared is not None else prepared_store()
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    artifacts = target.resolve().parent / "artifacts" / "0"
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (artifacts.as_uri(),))
    return f"sqlite:///{target.resolve()}"


@contextmanager
def tracking(uri: str) -> Iterator[None]:
    """Inside the block MLflow's own calls go to `uri`; afterwards where they went before, or nowhere in particular."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


def _migrate(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{path}", str(path.parent / "artifacts"))  # type: ignore[no-untyped-call]
    store.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        # Copies are single files: nothing may be left in a write-ahead log.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
