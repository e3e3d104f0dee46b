"""A version behind a URL: POST {"inputs"} with W3C context, answered by {"outputs", "retrieved"?}."""

import secrets
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from math import inf
from typing import Any

import httpx

from monitor.evaluation.answers import Answer, Failure, FailureKind
from monitor.evaluation.errors import TOO_LONG, CandidateUnavailable, EvaluationCancelled, EvaluatorFailed
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.settings import VersionSettings

_Asked = Future[tuple[Answer, str | None]]

EVALUATION_HEADER = "tracewatch-evaluation"
MAX_BODY_BYTES = 16 * 1024 * 1024


def client_of(settings: VersionSettings) -> httpx.Client:
    """A client of a version's endpoint with the headers, authorities and proxy that are configured, as they are now.

    Raises:
        OSError: the file of the authorities cannot be read.
        ValueError: the proxy's address cannot.
    """
    return httpx.Client(
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
        timeout=settings.timeout.total_seconds(),
        limits=httpx.Limits(max_connections=settings.concurrency),
        verify=True if settings.ca_file is None else ssl.create_default_context(cafile=settings.ca_file),
        proxy=settings.proxy,
    )


class HttpCandidate:
    """An HTTP endpoint. Every request says that it belongs to an evaluation, so that nobody takes it for traffic."""

    def __init__(self, version: str, settings: VersionSettings) -> None:
        if settings.url is None:
            raise ValueError(f"version {version!r} has no url")
        self._version = version
        self._settings = settings
        self._url = settings.url
        self._closed = threading.Event()
        self._client: httpx.Client | None = None
        self._reached = False

    def answer(self, rows: Sequence[EvaluationRow], run_id: str, deadline: float = inf) -> Iterator[Answer]:
        """One answer for each row, as they come; an HTTP error is the failure of its row.

        Raises:
            CandidateUnavailable: no row reached the endpoint, or it cannot be asked as configured.
            EvaluationCancelled: it was closed meanwhile.
            EvaluatorFailed: the deadline came first.
        """
        client = self._client = self._client or self._new_client()
        held: list[Answer] = []
        cause = ""
        with ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="candidate") as pool:
            futures = [pool.submit(self._ask, client, index, row, run_id) for index, row in enumerate(rows)]
            for future in self._completed(futures, deadline):
                if self._closed.is_set():
                    raise EvaluationCancelled("the evaluation was stopped")
                answer, unreached = future.result()
                self._reached, cause = self._reached or unreached is None, unreached or cause
                held.append(answer)
                # Failures to connect are kept back until one row has come through.
                if self._reached:
                    yield from held
                    held = []
        if not self._reached:
            raise CandidateUnavailable(self._version, f"{self._url} cannot be reached: {cause}")

    def _completed(self, futures: Sequence[_Asked], deadline: float) -> Iterator[_Asked]:
        try:
            yield from as_completed(futures, None if deadline == inf else max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            for future in futures:
                future.cancel()
            self.close()
            raise EvaluatorFailed(TOO_LONG) from None

    def close(self) -> None:
        """Drop open connections."""
        self._closed.set()
        if self._client is not None:
            self._client.close()

    def _new_client(self) -> httpx.Client:
        try:
            return client_of(self._settings)
        except (OSError, ValueError) as error:
            keys = f"ca_file {self._settings.ca_file}, proxy {self._settings.proxy}"
            raise CandidateUnavailable(self._version, f"{keys}: {error}") from error

    def _ask(self, client: httpx.Client, index: int, row: EvaluationRow, run_id: str) -> tuple[Answer, str | None]:
        trace_hex = secrets.token_hex(16)
        started_ms, start = time.time_ns() // 1_000_000, time.perf_counter()
        outputs: Any = None
        retrieved: tuple[dict[str, Any], ...] = ()
        failure: Failure | None = None
        unreached: str | None = None
        try:
            outputs, retrieved = self._post(client, row, trace_hex, run_id)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            unreached = str(error) or type(error).__name__
            failure = Failure(kind="http", message=f"cannot connect: {unreached}")
        except (httpx.HTTPError, RuntimeError, ValueError) as error:
            failure = Failure(kind=_kind(error), message=f"{type(error).__name__}: {error}"[:2000])
        answer = Answer(
            row=index,
            started_ms=started_ms,
            duration_ms=(time.perf_counter() - start) * 1000,
            trace_id=f"tr-{trace_hex}",
            outputs=outputs,
            retrieved=retrieved,
            failure=failure,
        )
        return answer, unreached

    def _post(
        self, client: httpx.Client, row: EvaluationRow, trace_hex: str, run_id: str
    ) -> tuple[Any, tuple[dict[str, Any], ...]]:
        headers = {
            "traceparent": f"00-{trace_hex}-{secrets.token_hex(8)}-01",
            EVALUATION_HEADER: run_id,
            "baggage": f"{EVALUATION_HEADER}={run_id}",
        }
        # The client's own timeout is for each read: a trickle of bytes would go on for ever.
        deadline = time.monotonic() + self._settings.timeout.total_seconds()
        body = bytearray()
        with client.stream("POST", self._url, json={"inputs": row.inputs}, headers=headers) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ValueError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"no whole answer within {self._settings.timeout}")
            if not response.is_success:
                raise httpx.HTTPStatusError(
                    f"status {response.status_code}: {bytes(body[:500]).decode('utf-8', 'replace')}",
                    request=response.request,
                    response=response,
                )
        return _read_answer(httpx.Response(200, content=bytes(body)).json())


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return "invalid" if isinstance(error, ValueError) else "http"


def _read_answer(value: Any) -> tuple[Any, tuple[dict[str, Any], ...]]:
    if not isinstance(value, dict) or "outputs" not in value:
        raise ValueError('the answer is not an object with "outputs"')
    retrieved = value.get("retrieved") or []
    if not isinstance(retrieved, list) or not all(
        isinstance(document, dict) and isinstance(document.get("page_content"), str) for document in retrieved
    ):
        raise ValueError('"retrieved" is not a list of objects with "page_content"')
    return value["outputs"], tuple(retrieved)
