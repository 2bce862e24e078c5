"""The examples in the docstrings of the models run, and show what they say."""

import doctest
import importlib
import pkgutil

import pytest

from planet_async import models

MODULES = [f"planet_async.models.{module.name}" for module in pkgutil.iter_modules(models.__path__)]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """Each example is run as it stands."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
