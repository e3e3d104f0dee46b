"""Metrics: all of them declared in `declared`, counted in `process`, read from the ledger in `group`."""

from monitor.metrics.declared import METRICS, bounded, describe
from monitor.metrics.group import (
    CandidateFigure,
    GroupFigures,
    GroupMetrics,
    JobFigure,
    JudgeFigure,
    PassRateFigure,
    RegressionKind,
)
from monitor.metrics.process import KnownLabels, ProcessMetrics

__all__ = [
    "METRICS",
    "CandidateFigure",
    "GroupFigures",
    "GroupMetrics",
    "JobFigure",
    "JudgeFigure",
    "KnownLabels",
    "PassRateFigure",
    "ProcessMetrics",
    "RegressionKind",
    "bounded",
    "describe",
]
