"""Training of the embedded models on pictures that the renderer draws."""
