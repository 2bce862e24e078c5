"""Transports: what really sends a request.  Only the modules here import a network library."""
