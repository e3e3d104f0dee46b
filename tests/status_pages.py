"""Parts of a status page, of which a test names only what matters to it, and a ledger full of somebody's texts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from monitor.clock import ManualClock
from monitor.health import Dependency
from monitor.labels.standing import FrozenSet, JudgeStanding, ShadowAgreement
from monitor.ledger import AlertRow, ComparisonRow, EvaluationRow, JobRow, Ledger
from monitor.overview import Overview, OverviewReader
from monitor.spend.debt import Debt
from monitor.spend.spending import Pot
from monitor.stats.judge_quality import Agreement, CorrectedRate
from monitor.status_page.facts import Asked, AskedScorer, Own
from monitor.status_page.view import AlertView, DependencyView, PageView, ScorerView, SeriesView
from monitor.tracking.links import MlflowLinks
from scorers.judge_endpoint import EndpointState
from tests.contracts.ledger.ledger_rows import decision, member, trace, verdict

NOW_MS = 1_795_525_402_000
LINKS = MlflowLinks(server="http://mlflow.invalid:5000", experiment_id="7")
JUDGE = EndpointState(endpoint="https://judge.invalid/v1", circuit="closed", opened_for_s=0.0, allowed=8, in_flight=3)


def asked(**given: Any) -> Asked:
    """One scorer with a target; every job is in time."""
    value = Asked(
        app="shop",
        version="1.2.3",
        labels={"team": "growth"},
        scorers=(AskedScorer(name="safety", target=0.9, shadow=False),),
        min_verdicts=20,
        stream="traces",
        reads_kafka=True,
        dataset=("production", 500),
        candidates=(),
        observing=False,
        deadline_s=lambda _job, _last: None,
    )
    return replace(value, **given)


def own(**given: Any) -> Own:
    """A process that has reached everything."""
    up = {name: Dependency(up=True) for name in ("kafka", "mlflow", "ledger", "judge")}
    return replace(Own(dependencies=up, judge=JUDGE, links=LINKS), **given)


def overview(**given: Any) -> Overview:
    """A ledger that is empty but for the job that looks at the series, which has just done so."""
    value = Overview(
        at_ms=NOW_MS,
        positions=(),
        accounted=(),
        mismatches=(),
        debt=Debt(events=0, parked=0, verdicts=0, calls=0, seconds=0.0, dollars=0.0),
        pots=(),
        pass_rates=(),
        open_alerts=(),
        dataset_rows=0,
        jobs=(JobRow(job="alerts", last_success_ms=NOW_MS - 5_000, last_failure_ms=None, last_error=None),),
        replicas=(),
        comparisons=(),
    )
    return replace(value, **given)


def series(**given: Any) -> SeriesView:
    """A good series."""
    value = SeriesView(scorer="safety", segment="all", state="good", rate=0.95, verdicts=100, target_or_reference=0.9)
    return replace(value, **given)


def page(*shown: SeriesView, **given: Any) -> PageView:
    """A page of these series, each of a scorer of its own, on which everything else is well."""
    counts = {
        state: sum(each.state == state for each in shown) for state in ("regressed", "unknown", "learning", "good")
    }
    value = PageView(
        app="shop",
        version="1.2.3",
        now_ms=NOW_MS,
        age_s=4.0,
        ready=True,
        dependencies=(DependencyView(name="kafka", up=True),),
        counts=counts,
        scorers=tuple(ScorerView(whole=each) for each in shown),
    )
    return replace(value, **given)


def alert_view(**given: Any) -> AlertView:
    """A page that fires."""
    value = AlertView(
        kind="production_regression",
        scorer="safety",
        segment="all",
        state="firing",
        severity="page",
        since_ms=NOW_MS - 3_600_000,
    )
    return replace(value, **given)


def alert_row(**given: Any) -> AlertRow:
    """A production regression that pages."""
    value = AlertRow(
        id="1",
        kind="production_regression",
        scorer="safety",
        segment="all",
        state="firing",
        severity="page",
        since_ms=NOW_MS - 3_600_000,
        fired_ms=NOW_MS - 3_000_000,
    )
    return replace(value, **given)


def metric(**given: Any) -> dict[str, Any]:
    """One scorer of a comparison, as `compare --json` prints it."""
    value = {
        "scorer": "safety", "baseline": 0.9, "candidate": 0.7, "difference": -0.2, "ci_low": -0.3, "ci_high": -0.1,
        "p_value": 0.01, "p_exact": 0.01, "p_adjusted": 0.02, "pass_to_fail": 1, "fail_to_pass": 0, "n_paired": 10,
        "errors": {"baseline": 0, "candidate": 1}, "verdict": "regressed", "rows_needed": None,
    }  # fmt: skip
    return value | given


def comparison(**given: Any) -> dict[str, Any]:
    """A comparison of v2 with v1, as `compare --json` prints it."""
    turned = {
        "scorer": "safety",
        "inputs": {"question": "why?"},
        "baseline": {"trace_id": "tr-good", "outputs": "because", "rationale": "It says why."},
        "candidate": {"trace_id": "tr-bad", "outputs": "so", "rationale": "It does not say why."},
    }
    value = {
        "dataset": {"name": "production", "digest": "0" * 64, "rows": 10},
        "baseline": {"version": "v1", "run_id": "run-1", "overall": 0.9},
        "candidate": {"version": "v2", "run_id": "run-2", "overall": 0.7},
        "overall_difference": -0.2,
        "metrics": [metric()],
        "pass_to_fail": [turned],
        "fail_to_pass": [],
        "regressed": True,
    }
    return value | given


def comparison_row(**given: Any) -> ComparisonRow:
    """That comparison in the ledger, an hour old."""
    value = ComparisonRow(
        evaluation_id="e1", candidate="v2", finished_at_ms=NOW_MS - 3_600_000, comparison=comparison()
    )
    return replace(value, **given)


Words = Callable[[str], str]
"""What stands in a field: told its name, its text."""

TEXTS = (
    "trace", "good_trace", "rationale", "warning", "held_back", "first_version", "slice", "fact", "reason",
    "turned", "baseline_trace", "turned_rationale", "note", "job_error", "holder", "cause",
)  # fmt: skip
"""Fields that only those may see who may see traces' texts."""

NAMES = ("scorer", "segment", "topic", "job", "candidate", "baseline", "dataset", "pot", "kind", "app", "label")
"""Fields that name the numbers, as `/metrics` does too."""


def asked_in(words: Words) -> Asked:
    """What a configuration asks that has these words in it."""
    scorers = (AskedScorer(name=words("scorer"), target=0.9, shadow=False),)
    return asked(
        app=words("app"),
        labels={"team": words("label")},
        scorers=scorers,
        dataset=(words("dataset"), 500),
        candidates=(words("candidate"),),
        min_verdicts=1,
    )


def own_in(words: Words) -> Own:
    """A process that cannot reach its judge, for a reason in these words, and links to a tracking server."""
    down = {"kafka": Dependency(up=True), "judge": Dependency(up=False, cause=words("cause"))}
    return own(dependencies=down)


def fill(ledger: Ledger, words: Words) -> None:
    """Put these words into every field of the ledger that the page shows, with the numbers that go with them."""
    scorer, segment = words("scorer"), words("segment")
    for number in range(8):
        at_ms = NOW_MS - (number * 3 + 1) * 3_600_000
        name = f"tr-{number}"
        row = trace(trace_id=name, topic=words("topic"), offset=number, event_time_ms=at_ms)
        ledger.intake.claim(row, [decision(scorer)])
        ledger.intake.record(
            verdict(
                trace_id=name,
                scorer=scorer,
                assessment_id=name,
                label="pass" if number % 3 else "fail",
                rationale=words("rationale"),
                segments={"customer": segment},
                topic=words("topic"),
                offset=number,
                event_time_ms=at_ms,
            )
        )
    ledger.positions.open(words("topic"), 0, 0)
    ledger.positions.advance(words("topic"), 0, 0, 8, {(scorer, "scored", "rate"): 8}, received=8)
    for alert in _alerts(words):
        ledger.alerts.save(alert, None)
    _compare(ledger, words)
    ledger.members.offer(member(dataset=words("dataset")))
    ledger.jobs.succeeded("alerts", NOW_MS - 5_000)
    ledger.jobs.failed(words("job"), NOW_MS - 5_000, words("job_error"))
    ledger.replicas.beat(words("holder"), "1.2.3", NOW_MS - 5_000)


def _alerts(words: Words) -> list[AlertRow]:
    proof = {
        "before": 0.94,
        "after": 0.71,
        "interval": [0.67, 0.75],
        "verdicts": 412,
        "first_version": words("first_version"),
        "warning": words("warning"),
        "held_back": words("held_back"),
        "explained_by": [{"segment": words("slice"), "pass_rate": 0.4, "verdicts": 131, "share": 0.7}],
        "examples": [
            {
                "trace_id": words("trace"),
                "rationale": words("rationale"),
                "value": 0.0,
                "weight": 0.5,
                "good": {"trace_id": words("good_trace")},
            }
        ],
    }
    other = {"spent": 12.6, "share": 0.84, "what": words("fact"), "by_reason": {words("reason"): 3}}
    return [
        alert_row(id="1", scorer=words("scorer"), segment=f"customer={words('segment')}", details=proof),
        alert_row(
            id="2", kind=words("kind"), scorer="", segment=f"pot={words('pot')}", severity="ticket", details=other
        ),
    ]


def _compare(ledger: Ledger, words: Words) -> None:
    value = comparison()
    value["dataset"]["name"] = words("dataset")
    value["baseline"]["version"], value["candidate"]["version"] = words("baseline"), words("candidate")
    value["metrics"] = [metric(scorer=words("scorer"), note=words("note"))]
    turned = value["pass_to_fail"][0]
    turned["scorer"] = words("scorer")
    turned["candidate"] |= {"trace_id": words("turned"), "rationale": words("turned_rationale")}
    turned["baseline"] |= {"trace_id": words("baseline_trace")}
    began = EvaluationRow(id="e1", dataset="d", digest="0", rows=[], started_at_ms=NOW_MS - 7_200_000)
    ledger.evaluations.begin(began)
    ledger.evaluations.finish("e1", {}, {words("candidate"): value}, finished_at_ms=NOW_MS - 3_600_000)


def reader(ledger: Ledger, clock: ManualClock, asked_for: Asked) -> OverviewReader:
    """What reads a page's overview from it."""
    return OverviewReader(
        ledger=ledger,
        clock=clock,
        window=timedelta(hours=24),
        dataset=None if asked_for.dataset is None else asked_for.dataset[0],
        scorers=frozenset(each.name for each in asked_for.scorers),
        pots=lambda: [Pot(name="scoring", unit="dollars", limit=15.0, spent=12.6)],
        candidates=asked_for.candidates,
        judges=lambda _now_ms: [standing(scorer=each.name) for each in asked_for.scorers],
    )


def agreement(**given: Any) -> Agreement:
    """Of people with a judge, on 47 traces."""
    value = Agreement(n=47, share=0.83, lower=0.7, upper=0.91, kappa=0.5, kappa_lower=0.2, kappa_upper=0.7)
    return replace(value, **given)


def standing(**given: Any) -> JudgeStanding:
    """A judge that people doubt, which has moved, with a shadow of the same name."""
    name = given.get("scorer", "safety")
    value = JudgeStanding(
        scorer=name,
        labels=47,
        listed=13,
        agreement=agreement(),
        corrected=CorrectedRate(rate=0.787, lower=0.667, upper=0.906, labels=47, method="post-stratified"),
        warning="people agree with this scorer on 83% of 47 labelled traces",
        frozen=FrozenSet(rows=38, judged_ms=NOW_MS - 7_200_000, changed=9, moved=True),
        shadows=(ShadowAgreement(scorer=name, beside=name, agreement=agreement(n=61, share=0.95)),),
    )
    return replace(value, **given)
