"""Who reaches the app, what they may do, and what they are told: addresses, requests, policy, owners, private files.

Knows no tab. `addresses`, `environment` and `private` are imported before Gradio and PyTorch, so they import neither.
"""
