"""The revisions of the schema that this version of the code knows, and the border to alembic, which runs them."""

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

VERSION_TABLE = "tracewatch_version"

_MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic keeps the environment it runs in a module of its own: threads take turns.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Revisions:
    """Revision files, ordered by their ids as texts.

    Each names in `works_from` the oldest revision whose code can work with the schema as that revision leaves it.
    `folders` hold the files; tests add one with the revisions of releases to come.
    """

    folders: tuple[Path, ...] = (_MIGRATIONS / "versions",)

    @cached_property
    def head(self) -> str:
        """The newest revision: the one that the code is written for."""
        head = self._scripts.get_current_head()
        if head is None:
            raise ValueError(f"no revision in {', '.join(map(str, self.folders))}")
        return head

    @cached_property
    def known(self) -> frozenset[str]:
        """Every revision."""
        return frozenset(script.revision for script in self._scripts.walk_revisions())

    @property
    def works_from(self) -> str:
        """The oldest revision whose code can work with the schema at the newest."""
        return self.works_from_of(self.head)

    def works_from_of(self, revision: str) -> str:
        """The oldest revision whose code can work with the schema at a revision."""
        script = self._scripts.get_revision(revision)
        works_from: str = script.module.works_from
        return works_from

    def upgrade(self, connection: Connection) -> None:
        """Run the revisions that the database lacks, in the connection's transaction."""
        with _ONE_AT_A_TIME:
            config = self._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @cached_property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config())

    def _config(self) -> Config:
        config = Config()
        config.set_main_option("path_separator", "newline")
        config.set_main_option("script_location", _escaped(_MIGRATIONS))
        config.set_main_option("version_locations", "\n".join(map(_escaped, self.folders)))
        return config


OURS = Revisions()


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, None for an empty one."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
