import loader  # noqa: D100 - three lines of the flash root, never changed by updates

loader.main()
