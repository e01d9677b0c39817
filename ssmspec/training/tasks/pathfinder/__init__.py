"""Pathfinder and PathX: contours, images and the task."""
