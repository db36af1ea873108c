"""What is told of sessions, and to whom."""
