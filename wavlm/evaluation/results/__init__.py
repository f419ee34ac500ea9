"""Results: figures with their intervals, tables of several models, the layer heat map."""
