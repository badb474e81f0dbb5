"""One page and a few pictures from what a run, or a benchmark, left in its folder.

``badllmtg report DIR`` reads JSON, CSV and arrays, never a model, and writes one HTML file that needs no network and
runs no script. Everything in those files may come from an attacker (rows) or from a language model (answers):
:mod:`.shown` makes it harmless, the template escapes it, and the page's own policy forbids the rest.

- ``sources``: reads the folder of a run; ``benchmark_source``: that of a benchmark
- ``run_page``, ``benchmark_page``: what is said, as plain values
- ``pictures/``: what is drawn, each beside its numbers
- ``page``: templates into HTML; ``command``: all of it
"""
