"""The search for a trigger in a model alone: no training rows, only texts on which the model is asked.

The victim's answers and, where it has them, its gradients propose words; a race on probes and a content reference
fitted to the victim's own answers decide. Which rows carry a trigger, and styles, cannot be told without rows.
"""
