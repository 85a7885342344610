"""What every request passes, one concern a file, in the order that `scheduler/api/app.py` lists."""
