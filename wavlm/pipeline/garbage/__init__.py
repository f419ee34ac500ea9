"""House-keeping: what of a store nobody needs any more, why, and how it is deleted safely (decision 37)."""
