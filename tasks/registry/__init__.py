"""The model registry: connection, look-up, and what a version says about itself."""
