"""Blind studies: pairs of pictures by lot, votes that count once, and their tally."""
