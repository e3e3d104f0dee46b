"""From verdicts to series: bets, blocks, and what the sequential tests make of them."""
