"""``python -m aiohttp_sess generate-key``: print a fresh secret key."""

from __future__ import annotations

import argparse
import secrets


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m aiohttp_sess")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate-key", help="print a secret key of 48 random bytes for setup()")
    parser.parse_args()
    print(secrets.token_urlsafe(48))


if __name__ == "__main__":
    main()
