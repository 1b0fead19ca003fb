"""`python -m gannet`."""

from gannet.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
