"""What is proved: scaled programs, safe bounds, claims, and second opinions."""
