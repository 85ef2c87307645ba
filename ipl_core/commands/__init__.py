"""The command line: `python -m ipl_core COMMAND`. One file a command; main.py lists them and chooses.

A command reads its options, asks the other rooms to work, and prints. Only this room prints.
"""
