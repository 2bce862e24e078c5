"""Tests of the simulator; a package, so that its conftest is not mistaken for the one above."""
