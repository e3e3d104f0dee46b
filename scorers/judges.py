"""The one place that points MLflow's judges at the configured endpoint and model."""

import importlib
import math
import os
import threading
from collections.abc import Callable
from typing import Any

import httpx

from scorers.chat_http import ChatHttp, RequestRefused, http_client
from scorers.errors import JudgeUnavailable
from scorers.judge_transport import bound_judge_calls, endpoint_answered
from scorers.prompt_rendering import render_texts_once
from scorers.settings import JudgeSettings

_OPENAI = "https://api.openai.com/v1"
# MLflow refuses to ask without a key, and many local endpoints want none.
_NO_KEY = "no-key-configured"
_NOT_OFFERED = frozenset({404, 405, 501})

# Imported by MLflow on a judge's first call (8 s): here once, so that it costs no score and no two threads race for it.
_LAZY_MODULES = (
    "mlflow.genai.scorers.builtin_scorers",
    "mlflow.genai.evaluation.utils",
    "mlflow.gateway.provider_registry",
    "mlflow.gateway.providers.openai",
    "mlflow.types.llm",
    "mlflow.evaluation",
)


def configure_judge(settings: JudgeSettings, stopping: threading.Event | None = None) -> None:
    """Make every judge of this process (and of its children that inherit the environment) ask this endpoint.

    Sets the environment variables that MLflow's OpenAI provider reads at each call, bounds attempts and concurrency,
    and turns off MLflow's telemetry and its download of model prices: only the configured endpoint is contacted. May be
    called again with other settings; must not be called while judges are at work.
    """
    # OPENAI_API_BASE is read by MLflow's judges and by nothing else: the application's own client keeps its address.
    if settings.base_url is not None:
        os.environ["OPENAI_API_BASE"] = settings.base_url.rstrip("/")
    else:
        os.environ.pop("OPENAI_API_BASE", None)
    if settings.api_key is not None:
        os.environ["OPENAI_API_KEY"] = settings.api_key.get_secret_value()
    elif not os.environ.get("OPENAI_API_KEY"):
        os.environ["OPENAI_API_KEY"] = _NO_KEY
    os.environ["MLFLOW_GENAI_JUDGE_DEFAULT_MODEL"] = settings.model_uri
    os.environ["MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS"] = str(math.ceil(settings.timeout.total_seconds()))
    os.environ["MLFLOW_MODEL_CATALOG_URI"] = ""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    bound_judge_calls(settings, stopping)
    render_texts_once()
    for module in _LAZY_MODULES:
        importlib.import_module(module)


def check_judge(settings: JudgeSettings) -> str:
    """Ask the endpoint whether it is there and takes the key: its model list, which is free, else one short completion.

    Returns:
        The address that answered.

    Raises:
        JudgeUnavailable: it cannot be reached, is too slow, refuses the key, or answers with an error.
    """
    base = _base(settings)
    response = _ask(settings, lambda client: client.get(f"{base}/models"))
    if response.status_code in _NOT_OFFERED:
        response = _ask(
            settings, lambda client: client.post(f"{base}/chat/completions", json=_question(settings.model))
        )
    if not response.is_success:
        raise JudgeUnavailable(_refusal(response), endpoint=base, status=response.status_code)
    return base


def ask_canary(settings: JudgeSettings, model: str) -> None:
    """Ask the model for one short completion: whether the endpoint answers at all, or fails on some traces only.

    Raises:
        JudgeUnavailable: it does not answer; `calls` is 1.
    """
    key = _key(settings)
    address = f"{_base(settings)}/chat/completions"
    try:
        ChatHttp(settings).post(address, {"Authorization": f"Bearer {key}"}, _question(model))
    except JudgeUnavailable as outage:
        outage.calls = 1
        raise
    except RequestRefused:
        pass  # it is there, and says so
    endpoint_answered(address)


def _base(settings: JudgeSettings) -> str:
    return (settings.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI).rstrip("/")


def _key(settings: JudgeSettings) -> str:
    given = settings.api_key.get_secret_value() if settings.api_key else None
    return given or os.environ.get("OPENAI_API_KEY") or _NO_KEY


def _question(model: str) -> dict[str, Any]:
    question = {"role": "user", "content": "Answer with the word yes."}
    return {"model": model.removeprefix("openai:/"), "messages": [question]}


def _ask(settings: JudgeSettings, request: Callable[[httpx.Client], httpx.Response]) -> httpx.Response:
    key = _key(settings)
    try:
        with http_client(settings) as client:
            client.headers["Authorization"] = f"Bearer {key}"
            client.headers.update({name: value.get_secret_value() for name, value in settings.headers.items()})
            return request(client)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise JudgeUnavailable(f"{type(error).__name__}: {error}", endpoint=_base(settings)) from error


def _refusal(response: httpx.Response) -> str:
    words = {401: " (the key is wrong or missing)", 403: " (the key may not do this)", 404: " (wrong address or model)"}
    return f"HTTP {response.status_code}{words.get(response.status_code, '')}: {response.text[:200]}"
