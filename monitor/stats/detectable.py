"""How large a fall of the rate would be noticed within a day: what a series is blind to."""

from math import exp, log, log1p

from monitor.stats.sequential import ODDS_RATIOS, cut_bets

_TINY = 1e-12


def detectable_drop(
    reference: float, *, bets_per_day: float, threshold: float, mean_weight: float, mean_square_weight: float
) -> float | None:
    """The smallest drop below the reference after which a day's bets are expected to raise an alarm.

    The gambler of `sequential` who does best must turn one bet's deposit into the threshold at the mean of his
    logarithmic growth. Earlier deposits, the other gamblers and luck are left out.

    Args:
        reference: the rate that is tested against, in 0..1.
        bets_per_day: how many bets are made in a day.
        threshold: `strength`'s threshold divided by the mean deposit of one bet: the verdicts, on average, to one
            false alarm at most.
        mean_weight: the mean weight of a bet, in (0, 1].
        mean_square_weight: the mean of the squared weights. The growth is the least that any weights with these two
            means can have, the weights being no different for passes and failures.

    Returns:
        The drop, in 0..reference, or None where even a fall to 0 would not be noticed.
    """
    if bets_per_day <= 0 or mean_weight <= 0:
        return None
    gains = [
        _growths(fraction, reference, mean_weight, mean_square_weight)
        for fraction in cut_bets(reference, reference - 1)
    ]

    def noticed(drop: float) -> bool:
        rate = reference - drop
        growth = max(rate * passed + (1 - rate) * failed for passed, failed in gains)
        if growth <= 0:
            return False
        # Deposits made during the growth add up to less than one where growth is slow, to more where it is fast.
        wanted = log(threshold) + max(0.0, log(len(ODDS_RATIOS) * (1 - exp(-growth))))
        return bets_per_day * growth >= wanted

    if not noticed(reference):
        return None
    low, high = 0.0, reference
    while high - low > _TINY:
        middle = (low + high) / 2
        low, high = (low, middle) if noticed(middle) else (middle, high)
    return high


def _growths(fraction: float, reference: float, mean: float, mean_square: float) -> tuple[float, float]:
    """The mean growth at a pass and at a failure, for the worst weights of the given means.

    Among all weights in 0..1 the logarithm of 1 + c * w has its least mean, for c > 0, where some weights are 0 and
    the others equal; for c < 0 where some are 1 and the others equal.
    """
    square = min(max(mean_square, mean * mean), mean)
    at_failure = mean * mean / square * log1p(fraction * reference * square / mean)
    loss = fraction * (1 - reference)
    if 1 - 2 * mean + square <= _TINY:
        return log1p(-loss), at_failure
    rest = (mean - square) / (1 - mean)
    full = (square - mean * mean) / (1 - 2 * mean + square)
    at_pass = full * log1p(-loss) + (1 - full) * log1p(-loss * rest)
    return at_pass, at_failure
