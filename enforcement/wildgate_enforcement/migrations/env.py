"""Run by alembic, on the connection that `Database.migrate` gives."""

from alembic import context

from wildgate_enforcement.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
