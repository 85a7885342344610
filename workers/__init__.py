"""How processes live: executors, the launcher, their files, logs and metrics. Knows no HTTP and no SQL."""
