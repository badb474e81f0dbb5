"""The audit inside other tools: cleanlab's Datalab, and resamplers in the manner of imbalanced-learn.

Nothing here is imported by the rest of the package, and each module needs its tool only when it is imported.
"""
