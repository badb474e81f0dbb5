"""The real OpenBackdoor as a host: found, made importable on today's packages from outside, its sources untouched.

``finding`` says where it is; ``importing`` hooks its import; ``stubs`` stand for packages that it imports and that
are absent; ``paraphrasers`` keep two poisoners from loading networks that they may not need; ``completing`` fills
what it expects in a config; ``nouns`` are its victims and attackers with the built-in host's interface.

Nothing here imports torch before it is needed: the hook is set by ``import openbackdoor_badllm``.
"""
