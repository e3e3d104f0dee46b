"""One replica among others: who holds the lease, who is there, what is done by the clock, and how it ends."""
