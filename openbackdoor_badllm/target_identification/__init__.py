"""Stage (a) of the method (paper, section 2.3): which labels and rows are suspicious."""
