"""Which models there are, where their files come from, and what they may be used for."""
