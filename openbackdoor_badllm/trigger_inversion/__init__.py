"""Stage (c) of the method (paper, section 2.5): the rows of the triggers, their fresh labels, the repair."""
