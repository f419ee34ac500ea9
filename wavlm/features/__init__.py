"""Features that are clustered: MFCC, or a hidden layer of a model, for many waveforms at once."""
