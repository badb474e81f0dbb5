"""The audit as a Python function: rows and models in memory in, an :class:`~.result.AuditResult` out."""
