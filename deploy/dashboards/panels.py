"""Panels in one house style: a title, a sentence on what it shows and how to read it, a unit, queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.dashboards.variables import DATASOURCE

PLAIN: Final = "short"
SHARE: Final = "percentunit"
SECONDS: Final = "s"
DOLLARS: Final = "currencyUSD"
A_SECOND: Final = "cps"
_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4

GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
GREY: Final = "text"

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first begins at None."""

BAD_ABOVE_0: Final[Steps] = ((None, GREEN), (1e-9, RED))
BAD_BELOW_0: Final[Steps] = ((None, RED), (0.0, GREEN))
BAD_BELOW_1: Final[Steps] = ((None, RED), (1.0, GREEN))


def line(expression: str, legend: str) -> Dataquery:
    """A query over the dashboard's time, whose series are called by the legend."""
    return Dataquery().expr(expression).range().legend_format(legend).ref_id("A")


def now(expression: str, legend: str = "") -> Dataquery:
    """A query of the present alone."""
    return Dataquery().expr(expression).instant().legend_format(legend).ref_id("A")


def column(expression: str) -> Dataquery:
    """A column of a table: the present value, its labels beside it."""
    return Dataquery().expr(expression).instant().format(PromQueryFormat.TABLE).ref_id("A")


def _refs(number: int) -> list[str]:
    """The names of a panel's queries. Grafana refuses a panel in which two have the same one."""
    return [chr(ord("A") + each) for each in range(number)]


def thresholds(steps: Steps) -> ThresholdsConfig:
    """Colours by value."""
    made = [Threshold(value=value, color=color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


def lines(title: str, description: str, unit: str, *queries: Dataquery, width: int = 8) -> timeseries.Panel:
    """Curves over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(_HEIGHT)
        .span(width)
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for ref, query in zip(_refs(len(queries)), queries, strict=True):
        panel.with_target(query.ref_id(ref))
    return panel


def number(
    title: str, description: str, unit: str, expression: str, steps: Steps, *, width: int = 4, none: str = "none"
) -> stat.Panel:
    """One figure of the present, coloured by value; `none` is shown where there is no value."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(_STAT_HEIGHT)
        .span(width)
        .no_value(none)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(now(expression))
    )


def states(
    title: str, description: str, query: Dataquery, names: Mapping[float, tuple[str, str]], *, width: int = 8
) -> statetimeline.Panel:
    """Coloured stretches over time: each value has a name and a colour."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(PLAIN)
        .height(_HEIGHT)
        .span(width)
        .show_value(VisibilityMode.NEVER)
        .merge_values(merge_values=True)
        .mappings([named(names)])
        .with_target(query)
    )


def named(names: Mapping[float, tuple[str, str]]) -> ValueMap:
    """Names and colours of single values."""
    return ValueMap(
        options={f"{value:g}": ValueMappingResult(text=text, color=color) for value, (text, color) in names.items()}
    )


def bars(title: str, description: str, unit: str, query: Dataquery, steps: Steps, *, width: int = 8) -> bargauge.Panel:
    """Present figures side by side, in the query's order."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(_HEIGHT)
        .span(width)
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query)
    )


def heat(title: str, description: str, unit: str, expression: str, *, width: int = 8) -> heatmap.Panel:
    """A histogram over time: the darker, the more."""
    query = Dataquery().expr(expression).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}").ref_id("A")
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(_HEIGHT)
        .span(width)
        .with_target(query)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A figure of a table: its heading, query, unit, and the colours of its values or the names of single ones."""

    heading: str
    expression: str
    unit: str = PLAIN
    steps: Steps = ()
    names: Mapping[float, tuple[str, str]] = field(default_factory=dict)

    def look(self) -> list[DynamicConfigValue]:
        """How the cells look."""
        look = [DynamicConfigValue(id_val="unit", value=self.unit)]
        if self.steps:
            look.append(DynamicConfigValue(id_val="thresholds", value=thresholds(self.steps).build()))
        if self.names:
            look.append(DynamicConfigValue(id_val="mappings", value=[named(self.names)]))
        if self.steps or self.names:
            look.append(DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
        return look


def figures(
    title: str,
    description: str,
    labels: Mapping[str, str],
    columns: Sequence[Column],
    *,
    worst_first: Sequence[tuple[str, bool]] = (),
    width: int = 24,
) -> table.Panel:
    """A table of present figures, one row for each set of labels.

    `labels` are the leading columns with their headings. `worst_first` are headings to sort by, with whether the
    largest comes first.
    """
    refs = _refs(len(columns))
    headings = {f"Value #{ref}": each.heading for ref, each in zip(refs, columns, strict=True)}
    order = [*labels, *headings]
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate(order)},
        "renameByName": {**labels, **headings},
    }
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(PLAIN)
        .height(_HEIGHT + 2)
        .span(width)
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(DataTransformerConfig(id_val="organize", options=organized))
        .sort_by([TableSortByFieldState().display_name(heading).desc(desc=largest) for heading, largest in worst_first])
    )
    for ref, each in zip(refs, columns, strict=True):
        panel.with_target(column(each.expression).ref_id(ref))
        panel.override_by_name(each.heading, each.look())
    return panel


def link_to_overview(panel: table.Panel, heading: str) -> table.Panel:
    """Make the cells of a column, whose text is an application's name, lead to its overview."""
    links = [{"title": "Overview", "url": "/d/tracewatch-overview?var-app=${__value.text}&${__url_time_range}"}]
    return panel.override_by_name(heading, [DynamicConfigValue(id_val="links", value=links)])
