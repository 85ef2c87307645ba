"""Pictures as files and as tensors: reading, writing, and finding the face to crop to."""
