"""What MLflow's errors mean: every one that it names is decided."""

import pytest
import sqlalchemy.exc
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import ErrorCode

from monitor.errors import MonitorError, ServiceUnavailable
from monitor.tracking.connection import WAITING_HELPS, mapped, one_line, waiting_helps


def _caused_by(cause):
    error = MlflowException("words", error_code=1)
    error.__cause__ = cause
    return error


def test_every_code_that_speaks_of_the_server_is_one_that_mlflow_has():
    """A misspelt code would wait for nothing."""
    assert set(ErrorCode.keys()) >= WAITING_HELPS


@pytest.mark.parametrize("code", ErrorCode.keys())
def test_each_error_code_is_mapped_to_one_of_two_errors(code):
    """No MLflow exception, from a server or from the store itself, passes the border unmapped."""
    for error in (
        MlflowException("words", error_code=ErrorCode.Value(code)),
        RestException({"error_code": code, "message": "words"}),
    ):
        with pytest.raises(MonitorError) as caught, mapped(ServiceUnavailable, MonitorError):
            raise error
        assert isinstance(caught.value, ServiceUnavailable) is (code in WAITING_HELPS)
        assert "words" in str(caught.value)


def test_every_database_error_is_mapped():
    """The whole tree of SQLAlchemy's errors is caught, raw or as the cause of MLflow's."""
    pending, seen = [sqlalchemy.exc.SQLAlchemyError], set()
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        seen.add(kind)
    assert sqlalchemy.exc.OperationalError in seen
    for kind in seen:
        error = kind.__new__(kind)
        error.args = ("words",)
        waiting = issubclass(
            kind, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError | sqlalchemy.exc.TimeoutError
        )
        assert waiting_helps(error) is waiting
        assert waiting_helps(_caused_by(error)) is waiting


@pytest.mark.parametrize(
    ("words", "waiting"),
    [
        ("API request to http://x failed with exception connection refused", True),
        ("API request to http://x failed with timeout exception read timed out", True),
        ("API request to http://x failed with exception too many 503 error responses", True),
        ("API request to endpoint /x failed with error code 502 != 200", True),
        ("API request to endpoint /x failed with error code 413 != 200", False),
        ("API request to http://x failed with exception too many 500 error responses", False),
        ("Object of type set is not JSON serializable", False),
    ],
)
def test_an_outage_is_told_from_a_refusal_by_its_words(words, waiting):
    """MLflow raises both as INTERNAL_ERROR; a trace that a healthy server chokes on must not stop the partition."""
    assert waiting_helps(MlflowException(words)) is waiting


def test_the_words_of_a_database_error_hold_no_text_of_a_trace():
    """SQLAlchemy quotes a statement's parameters; these words are logged."""
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError) as caught:
        connection.execute(sqlalchemy.text("INSERT INTO spans VALUES (:text)"), {"text": "a customer's text"})
    for error in (caught.value, _caused_by(caught.value)):
        assert one_line(error) == f"{type(error).__name__}: no such table: spans"
    assert "customer" in str(caught.value)
