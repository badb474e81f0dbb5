"""Stage (b) of the method (paper, section 2.4): triggers are proposed, and the victim's reward decides."""
