"""What became of each order of a long job, kept on disk."""
