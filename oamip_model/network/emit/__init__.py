"""What both readers make of whole families of operators."""
