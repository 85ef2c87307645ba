"""The tabs of the app, one file each: thin handlers between Gradio and `ipl_core`, no tensor arithmetic."""
