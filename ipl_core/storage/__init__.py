"""The ground floor: files, folders, tensors, paths and texts, and how they fail.

Files and folders are written whole or not at all, even through a crash, a full disk or a second writer. A file that
can't be read raises an `InputError` that names the file and the reason. Nothing here knows about models, methods or
the app.
"""
