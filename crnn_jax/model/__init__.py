"""The network: convolution, frame encoder, GRU, heads, and all of it together."""
