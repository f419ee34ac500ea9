"""Trained systems put to use: what a fine-tuned head and its model say about whole recordings."""
