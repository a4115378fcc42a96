"""``python -m pumice.cli``."""

from . import main

main()
