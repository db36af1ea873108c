"""Session keys that are rotated with age."""

from datetime import timedelta

AGE = timedelta(minutes=15)  # after which they are rotated
