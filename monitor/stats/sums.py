"""Sums of floats that come out the same, bit for bit, in whatever order they are added."""

GRAIN = 2.0**-36


def exact(value: float) -> float:
    """Round to a multiple of 2**-36: such numbers add without rounding error while their sum is below 131,072.

    So a sum does not tell in which order replicas or rows came. The error of one term is below 1e-11.
    """
    return round(value / GRAIN) * GRAIN
