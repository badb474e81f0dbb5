"""Side-by-side comparisons: many configs, several seeds, one table."""
