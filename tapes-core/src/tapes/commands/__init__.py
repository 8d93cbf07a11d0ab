"""The commands of `python -m tapes`, one module each."""
