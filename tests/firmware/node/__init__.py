"""Whole nodes: the real firmware on real MicroPython, with fakes of the device and a real broker."""
