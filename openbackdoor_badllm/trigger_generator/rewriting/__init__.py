"""Rewriting triggers (style, syntax), applied by a language model."""
