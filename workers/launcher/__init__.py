"""The small process that forks attempts, holds them until their end is on record, outlives the daemon.

Stand-alone on purpose: standard library only, nothing of Wattle's outside this folder, started by path with
`python -I -S` (see `__main__.py`). It must go on while the daemon is killed, upgraded or uninstalled. One thread, one
epoll. The protocol and the journal are described in workers/README.md.
"""
