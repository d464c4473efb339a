"""A benchmark of solve time: fixed instances, a resumable runner, checked answers, and reports."""
