"""Fitting: one head with early stopping, and the search over learning rates and seeds."""
