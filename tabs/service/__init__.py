"""What all tabs share while the app runs: the queue, stop flags, loaded models, runs, a borrowed GPU. Knows no tab."""
