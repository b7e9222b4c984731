"""How workers make what follows an image: label masks, boxes, what goes with boxes, keypoints."""
