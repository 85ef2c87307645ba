"""CLIP models: images, texts and learned context vectors as embeddings, and the words that describe pictures."""
