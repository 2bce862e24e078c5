"""Waiting for many resources at once, with lists that report on all of them."""
