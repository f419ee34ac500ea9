"""Files and locks: a name that exists is a file that is whole, and one process writes at a time."""
