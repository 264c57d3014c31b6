"""Tests that run on CPython and, file by file, on real MicroPython: plain asserts, nothing of pytest."""
