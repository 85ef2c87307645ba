"""Reports that measure many pictures or runs: methods, inversion, restyling, directions and the embedded models."""
