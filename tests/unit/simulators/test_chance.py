"""Chance with an address."""

import itertools

import pytest

from simulators.chance import steady, stream


def test_same_address_gives_the_same_numbers():
    """A stream is a function of its address, whatever was drawn from it or others before."""
    first = stream(7, "visitors", 495_000)
    numbers = first.random(5).tolist()
    stream(7, "weather", 495_000).random(100)
    assert stream(7, "visitors", 495_000).random(5).tolist() == numbers


def test_different_addresses_give_different_numbers():
    """Seed, name and each part of the block count, also negative ones and in their order."""
    addresses = [
        (seed, name, *block)
        for seed in (0, 1, -1)
        for name in ("visitors", "weather")
        for block in ((), (0,), (1,), (-1,), (0, 1), (1, 0))
    ]
    numbers = [float(stream(*address).random()) for address in addresses]
    assert all(a != b for a, b in itertools.combinations(numbers, 2))


def test_numbers_stay_what_they_are():
    """A recorded number: results that people noted down with a seed can be had again with a later version."""
    assert stream(1, "visitors", 0).integers(0, 2**32) == 2218107531


def test_steady_hides_the_last_bits():
    """Two results of exp() that differ in the last bit give the same rate; a difference that counts is kept."""
    assert steady(0.1 + 0.2) == steady(0.3)
    assert steady(1.000001) == pytest.approx(1.000001, rel=1e-9)
