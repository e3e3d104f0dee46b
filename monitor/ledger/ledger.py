"""The ledger: the only truth, in parts that share one database."""

from dataclasses import dataclass

from pydantic import SecretStr
from sqlalchemy import text

from monitor.clock import Clock, SystemClock
from monitor.ledger.alerts import Alerts
from monitor.ledger.budget import Budget
from monitor.ledger.database import Database, open_engine
from monitor.ledger.deliveries import Deliveries
from monitor.ledger.errors import LedgerError
from monitor.ledger.evaluations import Evaluations
from monitor.ledger.figures import Figures
from monitor.ledger.frozen import Frozen
from monitor.ledger.intake import Intake
from monitor.ledger.jobs import Jobs
from monitor.ledger.labels import Labels
from monitor.ledger.lease import Leases
from monitor.ledger.members import Members
from monitor.ledger.migrate import migrate, require_migrated
from monitor.ledger.positions import Positions
from monitor.ledger.replicas import Replicas
from monitor.ledger.retention import Retention
from monitor.ledger.revisions import OURS, Revisions
from monitor.ledger.series import Series
from monitor.ledger.settings import LedgerSettings, MigrationMode
from monitor.ledger.spend import Spend

_SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Everything that Tracewatch knows. Threads may share it."""

    database: Database
    intake: Intake
    positions: Positions
    budget: Budget
    members: Members
    lease: Leases
    evaluations: Evaluations
    alerts: Alerts
    deliveries: Deliveries
    jobs: Jobs
    figures: Figures
    series: Series
    spend: Spend
    replicas: Replicas
    retention: Retention
    labels: Labels
    frozen: Frozen

    def probe(self) -> None:
        """Ask the database for anything.

        Raises:
            LedgerUnavailable: it does not answer.
        """
        with self.database.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give back every connection."""
        self.database.engine.dispose()


def open_ledger(
    url: str | SecretStr,
    *,
    migration: MigrationMode = "auto",
    revisions: Revisions = OURS,
    clock: Clock = _SYSTEM_CLOCK,
) -> Ledger:
    """Connect, see to it that the schema is one that this code can work with, and hand out the parts.

    Args:
        url: `sqlite:///FILE`, `sqlite://` (in memory, for one process) or `postgresql://...`. A secret is asked again
            at each new connection.
        migration: whether a pending migration is run here, or by an operator.
        revisions: of the schema, those of this version unless a test plays another one.
        clock: tells which replicas still run.

    Raises:
        LedgerUnavailable: the database does not answer, or refuses; its words are in the error.
        LedgerAddressError: the URL names no database that the ledger can live in.
        LedgerTooNew: a newer version has brought the schema further than this code can work with.
        LedgerTooOld: a migration is pending, and `migration` is `manual`.
        OldReplicasRun: a migration is pending that would break replicas which still run.
    """
    database = Database(open_engine(url))
    try:
        if migration == "manual":
            require_migrated(database, revisions)
        else:
            migrate(database, clock.now_ms(), revisions)
    except LedgerError:
        database.engine.dispose()
        raise
    return Ledger(
        database=database,
        intake=Intake(database),
        positions=Positions(database),
        budget=Budget(database),
        members=Members(database),
        lease=Leases(database),
        evaluations=Evaluations(database),
        alerts=Alerts(database),
        deliveries=Deliveries(database),
        jobs=Jobs(database),
        figures=Figures(database),
        series=Series(database),
        spend=Spend(database),
        replicas=Replicas(database, revisions.head),
        retention=Retention(database),
        labels=Labels(database),
        frozen=Frozen(database),
    )


def open_configured(settings: LedgerSettings) -> Ledger:
    """The ledger that a configuration names; see `open_ledger` for what it raises."""
    return open_ledger(settings.url, migration=settings.migrate)
