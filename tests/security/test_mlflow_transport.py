"""MLflow behind TLS, client certificates, credentials and a proxy, in the daemon and in the evaluator's process."""

import base64
import os
from pathlib import Path

import httpx
import pytest
from guard import guarded, server_context

from monitor.evaluation.evaluator import EvaluationRequest, EvaluationRow
from monitor.evaluation.settings import VersionSettings
from monitor.evaluation.subprocess_evaluator import SubprocessEvaluator
from monitor.settings import MlflowSettings
from monitor.traces.errors import TraceStoreUnavailable
from monitor.traces.mlflow_store import MlflowTraceStore
from monitor.tracking.transport import configure_mlflow_transport
from scorers.settings import JudgeSettings, ScorerSettings

PASSWORD = "mlflow-password-5e1d"
TOKEN = "mlflow-token-88f0"
JUDGE_KEY = "judge-key-a51c"
BASIC = "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()


@pytest.fixture
def configured():
    """Configure the transport of this process until the test ends."""

    def configure(**keys):
        settings = MlflowSettings(**keys)
        configure_mlflow_transport(settings)
        return MlflowTraceStore(settings.tracking_uri, "guarded")

    yield configure
    configure_mlflow_transport(MlflowSettings())


@pytest.fixture
def tls_guard(mlflow_server, authority):
    """MLflow behind TLS with a required client certificate and a password."""
    context = server_context(authority.issue("mlflow"), authority.file)
    with guarded(mlflow_server, BASIC, context) as guard:
        yield guard


def _keys(guard, authority):
    return {
        "tracking_uri": guard.address,
        "username": "anna",
        "password": PASSWORD,
        "ca_file": authority.file,
        "client_cert_file": authority.issue("daemon").both,
    }


def test_traces_are_stored_through_tls_a_client_certificate_and_a_password(configured, tls_guard, authority):
    """The sign of life as well as every request of MLflow's client."""
    import sample_traces

    store = configured(**_keys(tls_guard, authority))
    store.probe()
    store.put(sample_traces.sample_trace())
    assert set(tls_guard.seen) == {(BASIC, "daemon")}
    assert len(tls_guard.seen) > 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "not-the-password-99"}, "401"),
        ({"client_cert_file": None}, "sslerror"),
        ({"ca_file": None}, "certificate verify failed"),
        ({"ca_file": Path("/no/such.pem")}, "/no/such.pem"),
    ],
    ids=["password", "client", "authority", "file"],
)
def test_what_is_wrong_is_named_and_the_password_is_not(configured, tls_guard, authority, change, words):
    """A cause that an operator can act on."""
    store = configured(**(_keys(tls_guard, authority) | change))
    with pytest.raises(TraceStoreUnavailable) as caught:
        store.probe()
    assert words.lower().replace("_", " ") in str(caught.value).lower().replace("_", " ")
    assert "not-the-password-99" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_rotated_token_is_used_with_the_next_request(configured, mlflow_server, tmp_path):
    """It is read from its file, and goes to the tracking server."""
    from monitor.secret_files import FileSecret, SecretFile

    path = tmp_path / "token"
    path.write_text(TOKEN)
    with guarded(mlflow_server, f"Bearer {TOKEN}") as guard:
        store = configured(tracking_uri=guard.address, token=FileSecret([SecretFile(path)]))
        store.probe()
        path.write_text("rotated-token-1234")
        guard.authorization = "Bearer rotated-token-1234"
        store.probe()
    assert {shown for shown, _ in guard.seen} == {f"Bearer {TOKEN}", "Bearer rotated-token-1234"}


def test_credentials_go_to_the_tracking_server_alone(configured, mlflow_server):
    """A server at another address, which MLflow's client asks as well (an artifact store, say), gets nothing."""
    from mlflow.utils.request_utils import cloud_storage_http_request

    with guarded(mlflow_server) as tracking, guarded(mlflow_server) as other:
        configured(tracking_uri=tracking.address, token=TOKEN).probe()
        cloud_storage_http_request("get", f"{other.address}/health").close()
    assert {shown for shown, _ in other.seen} == {None}
    assert {shown for shown, _ in tracking.seen} == {f"Bearer {TOKEN}"}
    assert TOKEN not in "".join(os.environ.values())


def test_a_proxy_takes_mlflows_requests_and_no_others(configured, mlflow_server, monkeypatch):
    """The name of the server is the proxy's to resolve; the environment's own proxy is not asked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with guarded(mlflow_server) as proxy:
        configured(tracking_uri="http://mlflow.invalid:5000", proxy=proxy.address).probe()
        assert proxy.targets
        assert all(target.startswith("http://mlflow.invalid:5000/") for target in proxy.targets)
        before = len(proxy.targets)
        assert httpx.get(f"{mlflow_server}/health").is_success
        assert len(proxy.targets) == before


def test_without_settings_mlflows_own_client_is_left_alone(configured):
    """What operators set by MLflow's environment variables goes on to work."""
    from mlflow.utils import request_utils

    configured(tracking_uri="http://127.0.0.1:1", token=TOKEN)
    assert request_utils._cached_get_request_session.__module__ == "monitor.tracking.transport"
    configured(tracking_uri="http://127.0.0.1:1")
    assert request_utils._cached_get_request_session.__module__ == "mlflow.utils.request_utils"


@pytest.mark.parametrize(
    "keys", [{"username": "a"}, {"password": "b"}, {"token": "t", "username": "a", "password": "b"}]
)
def test_half_a_login_and_two_logins_are_refused(keys):
    """Found with the configuration, not at the first request."""
    with pytest.raises(ValueError, match=r"belong together|either a token"):
        MlflowSettings(**keys)


def test_the_evaluator_reaches_the_guarded_server_and_no_secret_is_in_its_arguments_or_environment(
    tls_guard, authority, tmp_path, monkeypatch
):
    """The credentials, the judge's key too, come over the pipe: who lists processes sees arguments and environments."""
    (tmp_path / "answering.py").write_text("def answer(q):\n    return {'text': q}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)]))
    monkeypatch.setenv("OPENAI_API_KEY", JUDGE_KEY)
    settings = MlflowSettings(**_keys(tls_guard, authority))
    evaluator = SubprocessEvaluator(tracking_uri=settings.tracking_uri, experiment="guarded", mlflow=settings)
    visible = []
    request = EvaluationRequest(
        id="e",
        dataset="production",
        digest="d" * 64,
        rows=(EvaluationRow(inputs={"q": "one"}, record_id="r1", expectations={}),),
        baseline="v1",
        versions={"v1": VersionSettings(function="answering:answer")},
        scorers=(ScorerSettings(name="no_refusal", use="Refusal"),),
        judge=JudgeSettings(base_url="http://127.0.0.1:9/v1", api_key=JUDGE_KEY),
    )
    result = evaluator.evaluate(request, lambda _progress: visible.extend(_processes_below(os.getpid())))
    assert result.runs["v1"].overall == 1
    names = " ".join(visible)
    assert "mlflow_evaluator" in names
    assert "candidate_process" in names
    for secret in (PASSWORD, JUDGE_KEY):
        assert secret not in names
    assert set(tls_guard.seen) == {(BASIC, "daemon")}


def _processes_below(pid):
    """Arguments and environment of each child process, as `ps eww` shows them."""
    import psutil

    for process in psutil.Process(pid).children(recursive=True):
        folder = Path(f"/proc/{process.pid}")
        try:
            yield (folder / "cmdline").read_bytes().decode(errors="replace")
            yield (folder / "environ").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
