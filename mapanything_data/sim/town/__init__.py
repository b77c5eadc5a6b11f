"""A small town with traffic: streets, houses and cars from a seed, seen by cameras and LiDARs with exact ground truth.

Inside this package the world has MuJoCo's axes (x east, y north, z up); `axes` is the one door to OpenCV's.
"""
