"""The configuration: what loads, and what is said about what does not."""

import pytest

from monitor.config import ConfigError, load_config

SMALLEST = """\
app: shop
labels: {team: growth}
source:
  kind: kafka
  bootstrap_servers: 127.0.0.1:9092
  topic: traces
  group_id: tracewatch-shop
  format: tracewatch+json
  dead_letter_topic: traces.dead-letter
mlflow: {tracking_uri: "sqlite:///mlflow.db", experiment: shop}
ledger: {url: "sqlite:///tracewatch.db"}
judge: {base_url: "${OPENAI_BASE_URL}", model: gpt-5-mini, api_key: "${OPENAI_API_KEY}"}
sampling:
  rate: 0.1
  rules: [{when: {status: ERROR}, rate: 1.0}]
  judge_calls_per_hour: 3600
dataset: {name: production, max_rows: 500}
segments: [app_version]
scorers:
  - {name: safety, use: Safety}
  - {name: concise, use: Guidelines, guidelines: The e-mail is short., target: 0.9}
  - {name: greets, use: "shop.scorers:greets", rate: 1.0}
evaluation:
  schedule: {cron: "0 */6 * * *"}
  baseline: v1
  versions:
    v1: {function: "shop.app:answer_v1"}
    v2: {url: "http://127.0.0.1:8000/answer"}
alerts: {false_alarm_every: 30d, max_age: 1h}
http: {host: 127.0.0.1, port: 9464}
"""
ENVIRON = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "sk-very-secret"}


@pytest.fixture
def load(tmp_path):
    """Load texts as files a.yaml, b.yaml ..., later ones winning."""

    def load_texts(*texts, environ=ENVIRON):
        paths = []
        for letter, text in zip("abc", texts, strict=False):
            paths.append(tmp_path / f"{letter}.yaml")
            paths[-1].write_text(text)
        return load_config(paths, environ)

    return load_texts


def complaint(load, *texts, environ=ENVIRON):
    """What is said about the texts."""
    with pytest.raises(ConfigError) as caught:
        load(*texts, environ=environ)
    return str(caught.value)


def test_the_smallest_file_of_the_design_loads(load):
    """Every key of the documented smallest file is understood, with the environment's values put in."""
    config = load(SMALLEST)
    assert config.judge.base_url == "http://127.0.0.1:1/v1"
    assert config.judge.api_key.get_secret_value() == "sk-very-secret"
    assert config.evaluation.schedule.cron == "0 */6 * * *"
    assert config.scorers[1].parameters == {"guidelines": "The e-mail is short."}


def test_the_app_names_the_group_and_the_experiment(load):
    """Without a name of their own, consumer group and experiment are derived from the app."""
    config = load("app: shop\nscorers: [{name: safety, use: Safety}]")
    assert (config.source.group_id, config.experiment) == ("shop", "shop")


def test_later_files_win_key_by_key(load):
    """Mappings are merged deeply; lists and plain values are replaced."""
    config = load(SMALLEST, "source: {topic: other}\nsegments: [name]")
    assert (config.source.topic, config.source.bootstrap_servers) == ("other", "127.0.0.1:9092")
    assert config.segments == ("name",)


def test_a_default_stands_in_for_an_unset_or_empty_variable(load):
    """`${NAME:-default}` needs no variable, and `$${NAME}` is left as it is."""
    text = SMALLEST.replace("${OPENAI_BASE_URL}", "${NOWHERE:-http://d/v1}").replace("growth", '"$${TEAM}"')
    config = load(text, environ={"NOWHERE": "", "OPENAI_API_KEY": "k"})
    assert config.judge.base_url == "http://d/v1"
    assert config.labels == {"team": "${TEAM}"}


def test_an_unset_variable_is_named_with_its_line(load):
    """A variable without value and default is an error that names the variable, the key and the line."""
    text = complaint(load, SMALLEST, environ={"OPENAI_BASE_URL": "http://d/v1"})
    assert "a.yaml:12: judge.api_key: the environment variable OPENAI_API_KEY is not set" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  topic: traces\n", "  topci: traces\n", ("a.yaml:6: source.topci: unknown key", "did you mean 'topic'?")),
        ("kind: kafka", "kind: kafak", ("a.yaml:4: source.kind: 'kafak'", "did you mean 'kafka'?", "'file'")),
        ("app: shop\n", "", ("app: is missing", "Name of the application")),
        ("rate: 0.1", "rate: lots", ("a.yaml:14: sampling.rate: 'lots' is not allowed",)),
        ("name: concise", "name: safety", ("scorers", "given twice: safety")),
        ("baseline: v1", "baseline: v9", ("evaluation", "'v9'", "'v1', 'v2'")),
        ("0 */6 * * *", "0 */x * * *", ("evaluation", "0 */x * * *", "five fields")),
        ("max_age: 1h", "max_age: soon", ("alerts.max_age: 'soon'", "15m")),
        ("http: {", "app: again\nhttp: {", ("app: is given twice", "line 1")),
        ("labels: {team", "labels: {scorer", ("labels", "set by tracewatch itself")),
        ("labels: {team", "labels: {pod", ("labels", "not of one replica")),
    ],
)
def test_a_mistake_is_told_with_place_key_value_and_what_is_allowed(load, old, new, said):
    """Every kind of mistake names what the writer needs to mend it."""
    assert old in SMALLEST
    text = complaint(load, SMALLEST.replace(old, new, 1))
    for part in said:
        assert part in text


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(load):
    """One run of the command is enough to see everything that is wrong."""
    text = complaint(load, SMALLEST.replace("kind: kafka", "kind: k").replace("port: 9464", "port: many"))
    assert text.index("source.kind") < text.index("http.port")


def test_a_mistake_of_a_later_file_names_that_file(load):
    """The place is where the value in force stands."""
    assert "b.yaml:2: http.port: 'many'" in complaint(load, SMALLEST, "\nhttp: {port: many}")


def test_a_secret_is_never_shown(load):
    """Neither a value from the environment nor a password nor a URL's credentials get into the complaint."""
    text = SMALLEST.replace('"${OPENAI_BASE_URL}"', '"${OPENAI_API_KEY}"').replace(
        '"${OPENAI_API_KEY}"}', "[sk-other-secret]}"
    )
    text = text.replace('"sqlite:///mlflow.db"', "'NO://user:pass-word@host'").replace(
        '{url: "sqlite:///tracewatch.db"}', "{url: [pg-secret], urk: third-secret}"
    )
    said = complaint(load, text)
    for secret in ("sk-very-secret", "sk-other-secret", "pass-word", "pg-secret", "third-secret"):
        assert secret not in said
    assert "judge.api_key" in said
    assert "did you mean 'url'?" in said


def test_receivers_are_read_with_their_secrets_and_none_is_shown(load):
    """Addresses may hold tokens: a wrong one is named by its key alone."""
    text = "app: shop\nscorers: [{name: safety, use: Safety}]\nalerts:\n  receivers:\n"
    good = text + '    - {name: ops, kind: webhook, url: "${HOOK}", repeat: 1h, severities: [page]}\n'
    environ = {"HOOK": "https://ops.example/very-secret-9"}
    [ops] = load(good, environ=environ).alerts.receivers
    assert ops.addresses[0].get_secret_value() == "https://ops.example/very-secret-9"
    assert "very-secret-9" not in repr(ops)
    for wrong in (
        'url: ["${HOOK}"]',
        'url: "x${HOOK}"',
        'url: "${HOOK}", kinds: [a]',
        'url: "${HOOK}", urls: ["${HOOK}"]',
    ):
        said = complaint(load, f"{text}    - {{name: ops, kind: webhook, {wrong}}}\n", environ=environ)
        assert "alerts.receivers[0]" in said
        assert "very-secret-9" not in said


def test_texts_of_customers_leave_only_redacted(load):
    """`content: redacted` without a pattern would redact nothing: it is refused."""
    text = "app: shop\nscorers: [{name: safety, use: Safety}]\n"
    text += "alerts: {receivers: [{name: ops, kind: webhook, url: http://ops.example, content: redacted}]}\n"
    assert "needs `redaction.patterns`" in complaint(load, text)
    assert load(text, "redaction: {patterns: [email]}\n").alerts.receivers[0].content == "redacted"


@pytest.mark.parametrize("text", ["a: [", "- a", "\t", "app: &x {y: *x}", "? [1]\n: 2"])
def test_what_is_no_configuration_at_all_is_told_plainly(load, text):
    """Broken YAML, a list, a loop and odd keys are a ConfigError like all else."""
    assert "a.yaml" in complaint(load, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """A path that cannot be read is told with its reason."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config([tmp_path / "none.yaml"], {})
