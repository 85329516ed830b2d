"""Trials of what damages, attacks or stops a training; docs/reliability.md says what is tried."""
