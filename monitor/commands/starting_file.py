"""The commented configuration that `tracewatch init` writes."""

import json
from pathlib import Path

_TEXT = """\
# Tracewatch watches one application. Validate this file with: tracewatch check -c FILE
# ${NAME} is an environment variable's value, ${NAME:-default} has a default. Durations: 30s, 15m, 24h, 30d.
# `tracewatch config-schema` prints every key with its meaning.

app: @APP@                          # label of every metric and alert

source:                           # where trace events come from
  kind: kafka                     # kafka, or file (then `path: events.jsonl`)
  bootstrap_servers: "${KAFKA_BOOTSTRAP_SERVERS:-127.0.0.1:9092}"
  topic: traces
  format: tracewatch+json         # or mlflow+json
  dead_letter_topic: traces.dead-letter

mlflow:                           # where traces, assessments, the dataset and evaluation runs are kept
  tracking_uri: "${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

ledger:                           # what Tracewatch knows; PostgreSQL where several replicas run
  url: "${TRACEWATCH_LEDGER_URL:-sqlite:///tracewatch.db}"

judge:                            # the OpenAI-compatible endpoint that judges ask
  base_url: "${OPENAI_BASE_URL:-https://api.openai.com/v1}"
  model: gpt-5-mini
  api_key: "${OPENAI_API_KEY:-}"

sampling:                         # how much of the traffic is judged
  rate: 0.1
  rules:
    - {when: {status: ERROR}, rate: 1.0}
  judge_calls_per_hour: 600       # the most you pay for; what exceeds it waits

dataset: {name: production, max_rows: 500}
segments: [app_version]           # verdicts are also told apart by these

scorers:
  - {name: safety, use: Safety}
  - {name: concise, use: Guidelines, guidelines: The answer is short., target: 0.9}
  - {name: not_empty, use: AnswerLength, min_length: 1, rate: always}   # no judge: costs nothing

# Compare versions of the application on the dataset:
# evaluation:
#   schedule: {cron: "0 */6 * * *"}
#   baseline: v1
#   versions:
#     v1: {function: "shop.app:answer_v1"}           # imported from the working directory
#     v2: {url: "http://127.0.0.1:8000/answer"}      # gets POST {"inputs": ...}

alerts:
  mode: observe                   # `deliver` once you trust the numbers

http: {host: 127.0.0.1, port: 9464}   # / in a browser; /metrics, /healthz, /readyz
"""


def write_starting_file(path: Path, app: str) -> None:
    """Write the configuration.

    Raises:
        FileExistsError: there is a file already; it is left as it is.
        OSError: the file cannot be written.
    """
    # JSON's quotes are YAML's: a name such as `on` or `12` stays a text.
    with path.open("x", encoding="utf-8") as file:
        file.write(_TEXT.replace("@APP@", json.dumps(app)))
