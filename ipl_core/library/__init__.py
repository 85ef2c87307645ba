"""What is kept on disk: adapted domains and inverted people, and finished models that come with the app."""
