"""The command `wattle`: the only place that speaks terminal; it talks to the daemon over HTTP."""
