"""Finetuning of multi-view metric 3D models on the data that mapanything_data makes."""

from mapanything_data.config.registry import add_component_packages

add_component_packages("train.losses", "train.models", "train.settings")
