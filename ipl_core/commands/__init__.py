"""The command line: python -m ipl_core COMMAND."""
