"""An old and a new checkout of the code: how they are built, and what they compute."""
