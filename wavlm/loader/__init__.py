"""From shards and labels to batches, in an order that depends on the seed alone."""
