"""The words of Wattle: models, error codes, the DAG. No I/O, no asyncio; imports nothing of Wattle from above."""
