"""Frames to cluster: MFCC, or a hidden layer of a model, of many waveforms."""
