"""The evaluation dataset: what becomes a record, which records stay, and how MLflow's dataset is brought in line."""
