"""Attacks of the built-in host: poisoners and their variants, the victim, its training, the attack's figures."""
