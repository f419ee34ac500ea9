"""Fast metrics: what is measured of every model in minutes, for the most part without labels."""
