"""Tasks: what is predicted, from which examples, and how it is scored; one module per family of tasks."""
