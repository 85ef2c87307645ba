"""The world of the studio portraits: sitters, their attributes, the renderer, domains and captions."""
