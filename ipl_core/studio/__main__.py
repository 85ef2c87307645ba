"""`python -m ipl_core.studio COMMAND`."""

from .commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
