"""The vocabulary of the tests: what they wait for, what they start and hold."""
