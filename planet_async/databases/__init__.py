"""Databases that processes share: SQLite on one machine, PostgreSQL between machines."""
