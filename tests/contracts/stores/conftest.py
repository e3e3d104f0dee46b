"""Lets these tests import the modules that lie in the tests folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def mlflow_uri(tmp_path):
    """A fresh MLflow store on SQLite."""
    from mlflow_stores import copy_store

    return copy_store(tmp_path / "mlflow.db")
