"""Files and locks: a file that exists is complete, and one process writes at a time."""
