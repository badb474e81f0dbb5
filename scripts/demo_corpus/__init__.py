"""Grammar of the demo data sets: ``reviews`` and ``headlines``, with their lexicons."""
