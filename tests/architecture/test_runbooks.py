"""Every alert has a runbook, in the order in which the on-call thinks; what it tells one to copy exists and parses."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
import yaml

from monitor.alerts.kinds import DEFAULT_SEVERITY, AlertKind
from monitor.cli import app
from monitor.config.reference import keys
from monitor.metrics import METRICS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "runbooks"
RUNBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
ORDER = ["Real or judge?", "Which version or slice?", "What to do", "Whom to call"]
# A screen and a half.
MOST_LINES = 70

each_runbook = pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)


def fences(text: str, language: str) -> Iterator[str]:
    """What stands in the fenced blocks of a language, those inside of lists as well."""
    for found in re.finditer(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        yield found[1]


def commands_of(text: str) -> Iterator[list[str]]:
    """The arguments of each `tracewatch` in the fenced blocks, also of one that runs in a pod or in a pipe."""
    for block in fences(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for words in _simple_commands(line):
                for at, word in enumerate(words):
                    if word == "tracewatch" and (at == 0 or words[at - 1] == "--"):
                        yield words[at + 1 :]


def _simple_commands(line: str) -> Iterator[list[str]]:
    """The words between pipes, redirections and separators."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word[0] in "|;&<>":
            yield words
            words = []
        else:
            words.append(word)
    yield words


def queries_of(text: str) -> list[str]:
    """The PromQL of a page: each line is a query."""
    return [line.strip() for block in fences(text, "promql") for line in block.splitlines() if line.strip()]


def test_every_kind_of_alert_has_a_runbook() -> None:
    """By its name; those of Prometheus's rules are held by the tests of the rules."""
    assert set(get_args(AlertKind)) <= {path.stem for path in RUNBOOKS}


@each_runbook
def test_a_runbook_asks_in_the_order_of_the_on_call_and_names_commands_that_exist(path: Path) -> None:
    """Real or judge, which slice, what to do, whom to call; first how urgent it is and how its numbers are read."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ORDER
    head, _, rest = text.partition(f"## {ORDER[0]}")
    head = " ".join(head.split())
    assert "**Urgency:**" in head
    assert "**The numbers:**" in head
    assert "not say" in head or "says nothing" in head, "what it does not mean"
    assert "```sh\n" in rest.partition("## What to do")[2], "something to copy"
    assert "resolves" in rest or "ends by itself" in text, "when it is over"
    assert len(text.splitlines()) <= MOST_LINES
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`tracewatch ([a-z-]+)", text)) <= commands


@each_runbook
def test_every_command_to_copy_is_one_that_the_command_line_takes(path: Path) -> None:
    """Command, options and arguments are parsed by the real command line's own parsers; nothing is run."""
    found = list(commands_of(path.read_text(encoding="utf-8")))
    assert found
    for words in found:
        parses(words)


def parses(words: list[str]) -> None:
    """Fail where the command line would refuse the words before it looks at any file."""
    group: Any = typer.main.get_command(app)
    assert words[0] in group.commands, f"no command {words[0]}"
    command = group.commands[words[0]]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    assert not unknown, f"{words[0]} has no option {unknown}"
    context = command.context_class(command, info_name=words[0])
    given, left, _ = command.make_parser(context).parse_args(list(words[1:]))
    assert not left, f"too many arguments: {words}"
    missing = [each.name for each in command.params if each.required and not given.get(each.name)]
    assert not missing, f"{words} lacks {missing}"


@pytest.mark.parametrize(
    "line", ["stat -c FILE", "status", "status -c FILE --segment all", "explain -c FILE", "status -c FILE more"]
)
def test_a_command_line_that_would_be_refused_is_noticed(line: str) -> None:
    """An unknown command, a missing option, an unknown option, a missing argument, one too many."""
    with pytest.raises(AssertionError):
        parses(line.split())


@each_runbook
def test_every_metric_is_one_that_is_exported_and_is_read_as_its_scope_asks(path: Path) -> None:
    """A figure of the group is the same on every replica: added up it would be wrong."""
    text = path.read_text(encoding="utf-8")
    scopes = {each.name: each.scope for each in METRICS}
    parts = {
        f"{each.name}_{part}" for each in METRICS if each.kind == "histogram" for part in ("bucket", "sum", "count")
    }
    assert set(re.findall(r"(?<![\w:])tracewatch_\w+", text)) <= scopes.keys() | parts
    for query in queries_of(text):
        for before, name in re.findall(r"((?:max without \(instance, pod\) \()?)(tracewatch_\w+)", query):
            assert before or scopes.get(name) != "group", query


def test_every_query_is_valid(promtool: Callable[..., str], tmp_path: Path) -> None:
    """Prometheus's own tool reads all of them as one file of rules."""
    queries = [query for path in RUNBOOKS for query in queries_of(path.read_text(encoding="utf-8"))]
    assert len(queries) > len(RUNBOOKS)
    rules = [{"record": f"runbook:query:{number}", "expr": query} for number, query in enumerate(queries)]
    document = yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]})
    (tmp_path / "runbooks.rules.yml").write_text(document, encoding="utf-8")
    assert f"{len(queries)} rules found" in promtool("check", "rules", "runbooks.rules.yml", folder=tmp_path)


@pytest.mark.parametrize("path", [*RUNBOOKS, FOLDER / "README.md"], ids=lambda path: path.stem)
def test_every_configuration_key_exists(path: Path) -> None:
    """What is written like a key, `alerts.max_age` or `scorers[].rate`, is one of the model's."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    written = set(re.findall(r"`([a-z_]+(?:\[\])?(?:\.[A-Za-z_]+(?:\[\])?)+)`", text))
    # A topic's setting of Kafka.
    written -= {"retention.ms"}
    assert {each for each in written if not each.endswith((".md", ".yml", ".yaml"))} <= keys()


@each_runbook
def test_every_link_between_runbooks_leads_somewhere(path: Path) -> None:
    """To a page that is there."""
    named = re.findall(r"\]\((\S+?)\)", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (FOLDER / name).is_file()] == []


def test_the_list_of_runbooks_is_complete() -> None:
    """The page that leads to them names each, with its title and what the alert is worth by default."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+?)\]\((\w+)\.md\) \| (.+?) \| .+\? \|$", page, re.MULTILINE)
    titles = {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in RUNBOOKS}
    assert {stem: title for title, stem, _ in rows} == titles
    worth = _severities_of_rules() | {kind: {severity} for kind, severity in DEFAULT_SEVERITY.items()}
    for _, stem, told in rows:
        assert worth[stem] <= set(re.findall(r"page|ticket", told)), stem
        assert stem == "spend_exhausted" or worth[stem] == set(re.findall(r"page|ticket", told)), stem


def _severities_of_rules() -> dict[str, set[str]]:
    """Kind -> the severities that Prometheus's rules give it, but `none`, which tells nobody."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "deploy" / "prometheus").glob("*.rules.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for labels in (rule["labels"] for rule in group["rules"] if "alert" in rule):
                if labels.get("severity", "none") != "none":
                    found.setdefault(labels["kind"], set()).add(labels["severity"])
    return found
