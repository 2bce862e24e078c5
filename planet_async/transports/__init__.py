"""The network: thin adapters over HTTP clients."""
