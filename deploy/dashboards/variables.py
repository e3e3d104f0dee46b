"""What a reader chooses at the top of a dashboard."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def datasource() -> DatasourceVariable:
    """Which Prometheus is asked."""
    return DatasourceVariable("datasource").label("Data source").type("prometheus")


def values_of(name: str, label: str, series: str) -> QueryVariable:
    """One of the values that a label has in these series."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def any_of(name: str, label: str, series: str, chosen: str | None = None) -> QueryVariable:
    """Some or all of the values that a label has in these series; all are chosen at first, unless `chosen` is."""
    variable = values_of(name, label, series).multi(multi=True).include_all(include_all=True).all_value(".+")
    if chosen is not None:
        return variable.current(VariableOption(selected=True, text=[chosen], value=[chosen]))
    return variable.current(VariableOption(selected=True, text=["All"], value=["$__all"]))
