"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import alerts.domain

MODULES = [f"alerts.domain.{module.name}" for module in pkgutil.iter_modules(alerts.domain.__path__)]


@pytest.mark.parametrize("name", [*MODULES, "alerts.views"])
def test_examples_hold(name: str) -> None:
    """Each example of a module gives what stands under it."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_exist() -> None:
    """Most of the domain shows how it is used."""
    with_examples = [name for name in MODULES if doctest.testmod(importlib.import_module(name)).attempted]
    assert len(with_examples) >= 6
