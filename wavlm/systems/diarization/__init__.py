"""Who speaks when in a recording of any length: two systems that cluster windows, and those that work in blocks."""
