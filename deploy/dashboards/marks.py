"""Marks on the time axis, with the words that Grafana's library has no field for."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from deploy.dashboards.variables import DATASOURCE


class Mark(Builder[AnnotationQuery]):
    """Marks the times at which the expression has a value; `words` may name its labels."""

    def __init__(self, name: str, expression: str, color: str, words: str) -> None:
        self._query = _Worded(
            name=name, datasource=DATASOURCE, enable=True, hide=False, icon_color=color, expr=expression
        )
        self._query.words = words

    def build(self) -> AnnotationQuery:
        """The mark as the dashboard holds it."""
        return self._query


class _Worded(AnnotationQuery):
    words: str = ""

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "titleFormat": self.words, "step": "60s"}
