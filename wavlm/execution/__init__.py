"""How work is run: the command `wavlm`, runtime, job files, processes, parts, progress. No result depends on it."""
