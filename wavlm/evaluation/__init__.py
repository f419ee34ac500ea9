"""Evaluation of trained models. Stage scores: label quality of each layer."""
