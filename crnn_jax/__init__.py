"""Networks that read a sequence of images and answer a question about the whole of it.

Arrays carry their shape in their name where it helps:

    B sequences     T steps of a lane     N lanes, or images of a corpus     F frames
    H, W, C         height, width and channels of a frame (a lone H after T and N: hidden units)
    D features      K totals, or steps of a dispatch     L longest sequence     A micro-batches
"""
