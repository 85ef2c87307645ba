"""Generators of pictures and their latents: networks, files, encoders and inversion."""
