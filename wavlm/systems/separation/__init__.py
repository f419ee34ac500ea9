"""Separate the voices of recordings of any length, by a trained system."""
