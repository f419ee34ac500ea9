"""Artifacts, the plan of a recipe, and the store: the only package that knows the store."""
