"""Pictures out of generators: samples by seed, mixed weights, animations and restyled people."""
