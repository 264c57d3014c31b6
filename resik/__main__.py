"""``python -m resik``: the command without an installed script."""

from resik.cli import main

main()
