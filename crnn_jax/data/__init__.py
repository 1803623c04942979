"""The way of the data: corpus, draw, feed, augmentation."""
