"""Stage scores: what the layers of a model know."""
