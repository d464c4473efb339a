"""What both readers make of operators: nodes of the operator graph for whole families of them."""
