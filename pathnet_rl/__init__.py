"""PathNet: evolution channels gradient descent through one big modular network. The idea, no ray."""
