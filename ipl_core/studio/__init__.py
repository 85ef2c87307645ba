"""The embedded world: a renderer whose every attribute is known, and the models trained on its pictures."""
