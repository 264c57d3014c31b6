"""The examples in the docstrings are true."""

import doctest

import pytest

import square.calendar
import square.geometry
import square.occasions
import square.prayer


@pytest.mark.parametrize("module", [square.calendar, square.geometry, square.occasions, square.prayer])
def test_docstring_examples(module):
    """Every example of the module runs and prints what it says, and there is at least one."""
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
