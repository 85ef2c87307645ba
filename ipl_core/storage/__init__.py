"""The ground floor: files, folders, tensors, paths and texts, and how they fail.

Everything of this program that is read or written goes through here: a crash, a full disk or a second writer leaves no
half file behind, and what can't be read ends in an `InputError` that names the file and says why. Nothing here knows
about models, methods or the app.
"""
