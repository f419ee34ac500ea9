"""How work is run: the command `wavlm`, runtime settings, job files, processes, parts, progress. No result depends on it."""
