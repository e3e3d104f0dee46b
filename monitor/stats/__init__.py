"""Pure statistics: no service, no clock, no state that is not passed in."""
