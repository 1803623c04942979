"""The network: convolution, frame encoder, GRU, heads, decoder, and all of it together."""
