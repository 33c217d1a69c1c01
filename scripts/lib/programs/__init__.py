"""Real programs behind the server: what scripts/check-programs runs. A file for each program, and what they share."""
