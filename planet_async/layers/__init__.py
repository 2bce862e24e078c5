"""Layers: each a `Transport` around a `Transport`, with one job."""
