"""Stage mixtures, and the mixing of utterances and noise that training uses."""
