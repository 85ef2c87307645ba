"""Parts of a page that several tabs use: start and stop, favourites, kept people, suggestions, fields for prompts."""
