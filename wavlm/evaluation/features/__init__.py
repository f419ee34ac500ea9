"""Features of examples: a frozen model's hidden states, or a baseline's frames, computed once and cached."""
