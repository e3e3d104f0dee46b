"""The border to MLflow's tracking store: how to reach it, what its errors mean, and where a person looks."""
