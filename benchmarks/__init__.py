"""Measured claims: one script per claim, run by `make bench` (docs/performance.md has the table).

A script has `CLAIMS`, a tuple of `Claim`, and `main(device)`, which yields a `Figure` for each.
"""
