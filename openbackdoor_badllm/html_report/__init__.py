"""One page and a few pictures from what a run, or a benchmark, left in its folder.

``badllmtg report DIR`` reads JSON, CSV and arrays, never a model, and writes one HTML file that needs no network and
runs no script. Everything in those files may come from an attacker (rows) or from a language model (answers):
:mod:`.shown` makes it harmless, the template escapes it, and the page's own policy forbids the rest.

``run_page`` and ``benchmark_page`` read a folder and lay out its page, ``page`` has the templates' filters,
``pictures`` what is drawn, ``writer`` the command.
"""
