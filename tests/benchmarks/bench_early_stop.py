"""Rows that may stop early: how often something is proved, and how many rows it takes, beside a fixed number."""

import numpy as np

from monitor.stats.anytime import largest_evidence, rows_for_evidence
from monitor.stats.comparison import rows_for_difference

ROWS, BATCH, RUNS = 300, 25, 200


def _stopped_at(differences: np.ndarray, needed: float) -> int | None:
    for rows in range(BATCH, len(differences) + 1, BATCH):
        if largest_evidence(list(differences[:rows]))[0] >= needed:
            return rows
    return None


def _row(changed: float, mean: float, scorers: int) -> str:
    random = np.random.default_rng(5)
    chances = [(changed - mean) / 2, 1 - changed, (changed + mean) / 2]
    stops = [_stopped_at(random.choice([-1, 0, 1], ROWS, p=chances), 20 * scorers) for _ in range(RUNS)]
    decided = [each for each in stops if each is not None]
    share = np.mean([each or ROWS for each in stops]) / ROWS
    line = f"{changed:.2f} {mean:+.2f} {scorers:7}   {len(decided) / RUNS:7.3f}   {share:5.2f}"
    if mean == 0:
        return line
    planned = rows_for_evidence(changed, mean, 20 * scorers, power=0.8)
    fixed = rows_for_difference(changed, mean, alpha=0.05 / scorers)
    sets = random.choice([-1, 0, 1], (RUNS, planned), p=chances)
    power = np.mean([largest_evidence(list(each))[0] >= 20 * scorers for each in sets])
    return f"{line}   {planned:7} ({power:.2f})   {fixed:6.0f}"


def main() -> None:
    """Print a line for each share of changed rows, difference and number of scorers."""
    print(f"of {ROWS} rows in batches of {BATCH}")
    print("changed diff scorers   decided   rows   rows for 80 % (reached)   fixed number")
    for changed, mean in ((0.3, 0.0), (0.3, 0.1), (0.3, 0.2), (0.1, 0.05)):
        for scorers in (1, 8):
            print(_row(changed, mean, scorers), flush=True)


if __name__ == "__main__":
    main()
