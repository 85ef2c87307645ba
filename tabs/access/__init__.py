"""Access control: addresses, request checks, policy, owners, private files, and error messages for visitors.

It doesn't know the tabs. `addresses`, `environment` and `private` are imported before Gradio and PyTorch, so they
import neither.
"""
