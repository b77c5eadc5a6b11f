"""Finetuning of multi-view metric 3D models on the data that mapanything_data makes."""
