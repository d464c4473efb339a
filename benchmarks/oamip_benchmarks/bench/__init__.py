"""A benchmark of solve time: instances, a resumable runner, checks and reports."""
