"""What several backends need: checks, hand-over, files, processes and interrupts."""
