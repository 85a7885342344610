"""The only place that speaks HTTP: the application, its guard, its routes and their handlers."""
