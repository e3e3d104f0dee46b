"""The dataset: membership is ledger rows, bounded here, and MLflow's dataset follows them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from mlflow.entities import Trace

from monitor.dataset.reconcile import BATCH_ROWS, decide, reconcile
from monitor.dataset.records import Member, member_from_trace, priority_of, segment_label
from monitor.dataset.settings import DatasetSettings
from monitor.dataset.store import DatasetStore
from monitor.ledger.members import Members
from monitor.ledger.rows import LeaseToken, MemberRow

PROMOTED: Final = "feedback"
"""The segment of rows that are in the dataset because of feedback; `quotas` may bound it like any other."""

_SHARED = tuple(field.name for field in fields(Member))


@dataclass(frozen=True, kw_only=True, slots=True)
class Curation:
    """Offers traces to one dataset, keeps it within its bounds, and brings MLflow in line."""

    settings: DatasetSettings
    members: Members
    store: DatasetStore

    @property
    def subject(self) -> str:
        """The dataset's name in sampling decisions."""
        return f"dataset:{self.settings.name}"

    def offer(self, trace: Trace, segments: Mapping[str, str], probability: float) -> bool:
        """Offer a trace; True if it is the first with its inputs and so owns the record.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        member = member_from_trace(
            trace,
            dataset=self.settings.name,
            segment=segment_label(segments, self.settings.quota_by),
            probability=probability,
            golden=self.settings.is_golden(trace.info.tags),
        )
        return member is not None and self.members.offer(_row(member))

    def promote(self, trace: Trace, expectations: Mapping[str, Any], at_ms: int) -> bool:
        """Offer a trace that a person has said something of, with what they expected at that time.

        Its row weighs nothing in estimates, and shares the dataset's room with other such rows alone: what people
        choose does not push out what was drawn at random.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        member = member_from_trace(
            trace,
            dataset=self.settings.name,
            segment=PROMOTED,
            probability=0.0,
            golden=self.settings.is_golden(trace.info.tags),
        )
        if member is None:
            return False
        row = replace(_row(member), priority=priority_of(member.inputs_digest, 1.0))
        owns = self.members.offer(row)
        if expectations:
            self.members.offer(replace(row, expectations=expectations), at_ms)
        return owns

    def curate(self, token: LeaseToken) -> None:
        """Evict what exceeds the bounds, then bring MLflow's dataset in line with the ledger, all of it.

        Raises:
            LedgerUnavailable | LeaseLost: nothing is lost; the next call goes on.
            DatasetStoreUnavailable | DatasetRejected: likewise, with MLflow.
        """
        name = self.settings.name
        # A dataset that somebody deleted is made anew, and each record finds its way back at its next change.
        self.store.ensure()
        if self.settings.quotas or self.members.count(name) > self.settings.max_rows:
            self._evict(token)
        while rows := self.members.unreconciled(name, BATCH_ROWS):
            seen: dict[str, str | None] = dict.fromkeys(row.inputs_digest for row in rows)
            # Inputs that MLflow gives back otherwise than it got them have no known id: once is enough for them.
            done = seen | reconcile(self.store, [_member(row) for row in rows])
            self.members.mark_reconciled(name, done, rows, token)

    def _evict(self, token: LeaseToken) -> None:
        name = self.settings.name
        selection = decide([_member(row) for row in self.members.active(name)], self.settings)
        if selection.evicted:
            self.members.set_state(name, selection.evicted, "evicted", token)


def _row(member: Member) -> MemberRow:
    return MemberRow(**{name: getattr(member, name) for name in _SHARED})


def _member(row: MemberRow) -> Member:
    return Member(**{name: getattr(row, name) for name in _SHARED})
