"""One run: attack, defend, evaluate, and the folder that it leaves."""
