"""Simulated jets in the layout that training reads; an optional extra that training never imports.

One way through: `events` (Pythia) -> `jets` -> `candidates` (particles, `pileup`, `material`,
fakes) -> `detector` (with `helix`) -> `truth` -> `tables` -> `shards` -> `resampling` -> `writing`.
`production` spreads shards over processes and `inspection` looks at the files.
"""
