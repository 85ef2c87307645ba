"""The commands that make what `pretrained/` holds: `python -m ipl_core.studio COMMAND`. One file a command.

main.py lists them and gives each the options that all share. Only this room and ipl_core.commands print.
"""
