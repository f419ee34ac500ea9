"""Stages codebook and labels: k-means centroids, and the nearest centroid of every frame as its label."""
