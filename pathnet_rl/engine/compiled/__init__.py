"""The compiled engine: layers as loops over small products in vector registers."""
