"""Evaluation of trained models. Stage scores: how much each layer knows about phones."""
