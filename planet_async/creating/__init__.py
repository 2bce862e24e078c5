"""Creating what costs quota, each thing exactly once."""
