"""Tests of node code that need CPython: properties and oracles."""
