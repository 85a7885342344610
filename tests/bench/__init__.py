"""What Wattle costs on this machine beside ninja, make and xargs in the same run: `python -m tests.bench`."""
