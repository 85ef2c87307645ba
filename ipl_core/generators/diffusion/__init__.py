"""Diffusion Autoencoders: the networks, the noise schedule, the sampler, and the files that they are kept in."""
