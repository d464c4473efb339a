"""Programs over boxes of images: what a smaller network saves there."""
