"""Text that comes packed: gzip, and zstd where that can be unpacked."""
