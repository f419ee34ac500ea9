"""Continuous separation of speech: a Conformer that masks the spectrum of a mixture."""
