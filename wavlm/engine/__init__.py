"""What every training shares: ranks, compilation and wrapping, the optimizer step, checkpoints, stop requests."""
