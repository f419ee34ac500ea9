"""Corpora that grow: what a folder was in each generation, the list of generations, and how a new one follows."""
