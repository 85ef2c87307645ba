"""StyleGAN2: the network, its operators, and the files that other programs keep it in."""
