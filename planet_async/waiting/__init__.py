"""Waiting for many things at once: who waits, and the lists that answer for all of them."""
