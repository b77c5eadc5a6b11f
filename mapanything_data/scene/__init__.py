"""What the data is: cameras, poses, views, frames, episodes, boxes, detections, tracks (NumPy only)."""
