"""How evaluations are scored: pure functions, arrays in and numbers out. Scorers that exist are kept libraries."""
