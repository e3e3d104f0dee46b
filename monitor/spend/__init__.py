"""What calls of a model cost: the day's pots, and what is owed."""
