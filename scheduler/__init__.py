"""The daemon: store, engine, API and command line. README.md is its map."""
