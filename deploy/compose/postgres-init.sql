-- The ledger's database is POSTGRES_DB; MLflow has one of its own. Run once, when the volume is empty.
CREATE DATABASE mlflow;
