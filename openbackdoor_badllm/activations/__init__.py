"""BadActs: what a victim's neurons do on clean rows, and what to do about rows on which they do something else."""
