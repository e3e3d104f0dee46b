"""From an event to its effects: sampling, the order of effects, the watermark, and what is worked off later."""
