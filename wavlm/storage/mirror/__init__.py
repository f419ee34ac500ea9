"""A mirror: a bucket of an object store, or a folder, that holds artifacts for several machines."""
