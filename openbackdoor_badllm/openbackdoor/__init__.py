"""OpenBackdoor behind its own interface: the built-in host, and the real framework, its sources untouched.

``host`` opens one of the two (:func:`.host.open_host`), ``host_options`` are its options on the command line,
``builtin`` are the objects of the built-in host, and ``script`` runs the real one's own scripts.

Of the real one, ``finding`` says where it is; ``importing`` hooks its import, so that it can be imported on today's
packages; ``stubs`` stand for packages that it imports and that are absent; ``lazy_paraphrasers`` keep two poisoners
from loading networks that they may not need; ``completing`` fills what it expects in a config; ``nouns`` are its
victims and attackers with the built-in host's interface.

Nothing here imports torch before it is needed: the hook is set by ``import openbackdoor_badllm``.
"""
