"""How work is run: runtime settings, job files, processes, parts and progress. Nothing here changes any result."""
