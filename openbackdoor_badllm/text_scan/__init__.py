"""A scan of labelled texts for planted triggers that trains no victim: counts, exact tests, and a bag-of-words model.

``scanner.scan`` is the entry. Nothing here imports torch.
"""
