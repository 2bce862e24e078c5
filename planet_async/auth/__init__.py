"""Credentials, and the layer that puts them on requests to the API."""
