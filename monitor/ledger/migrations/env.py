"""Alembic's entry: it runs on the connection that `monitor.ledger.revisions` hands over, in its transaction."""

from alembic import context

from monitor.ledger.revisions import VERSION_TABLE
from monitor.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
