"""Artifacts, the plan of a recipe, the store, and what is read from it: results, summary, plots, cost."""
