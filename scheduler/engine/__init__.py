"""The engine: decides (plan, policy: pure) and acts (runner, engine)."""
