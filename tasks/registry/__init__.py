"""The model registry (MLflow): connection, following a training, look-up, and the description of a version."""
