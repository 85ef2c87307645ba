"""The paper, from words to weights: settings, prompts, directions, losses and the two stages of training."""
