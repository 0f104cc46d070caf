"""Steps that bring a database of the community OS to the present schema (alembic); run at every start."""
