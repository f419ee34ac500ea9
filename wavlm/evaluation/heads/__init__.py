"""Heads: small networks that tasks train on the states of a frozen model."""
