"""The ``resik`` command and the local stack that ``make run`` starts."""
