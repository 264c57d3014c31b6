import gc  # noqa: D100 - three lines of the flash root, never changed by updates

gc.threshold(24576)
