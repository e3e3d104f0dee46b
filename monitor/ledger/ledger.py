"""The ledger: the only truth, in parts that share one database."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from monitor.ledger.alerts import Alerts
from monitor.ledger.budget import Budget
from monitor.ledger.database import Database, cause_of, open_engine
from monitor.ledger.errors import LedgerUnavailable
from monitor.ledger.evaluations import Evaluations
from monitor.ledger.figures import Figures
from monitor.ledger.intake import Intake
from monitor.ledger.jobs import Jobs
from monitor.ledger.lease import Leases
from monitor.ledger.members import Members
from monitor.ledger.migrate import migrate
from monitor.ledger.positions import Positions
from monitor.ledger.spend import Spend


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
    jobs: Jobs
    figures: Figures
    spend: Spend

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


def open_ledger(url: str) -> Ledger:
    """Connect, bring the schema up to date and hand out the parts.

    Args:
        url: `sqlite:///FILE`, `sqlite://` (in memory, for one process) or `postgresql://...`.

    Raises:
        LedgerUnavailable: the database does not answer, or refuses; its words are in the error.
        LedgerAddressError: the URL names no database that the ledger can live in.
    """
    database = Database(open_engine(url))
    try:
        migrate(database)
    except LedgerUnavailable:
        database.engine.dispose()
        raise
    except SQLAlchemyError as error:
        # A missing permission, say: an operator may grant it while the daemon waits.
        database.engine.dispose()
        raise LedgerUnavailable(cause_of(error)) from error
    return Ledger(
        database=database,
        intake=Intake(database),
        positions=Positions(database),
        budget=Budget(database),
        members=Members(database),
        lease=Leases(database),
        evaluations=Evaluations(database),
        alerts=Alerts(database),
        jobs=Jobs(database),
        figures=Figures(database),
        spend=Spend(database),
    )
