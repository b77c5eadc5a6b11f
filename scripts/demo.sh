#!/usr/bin/env bash
# The main job on a clip of its own: capture, check, report. What is finished is not done again.
set -euo pipefail

folder=outputs/demo
mkdir -p "$folder"
test -f "$folder/drive.mp4" || python scripts/draw_clip.py "$folder/drive.mp4"

python -m mapanything_data.capture source=video source.path="$folder/drive.mp4" dataset.root="$folder/drive"
python -m mapanything_data.check dataset=segments dataset.root="$folder/drive"
python -m mapanything_data.report dataset=segments dataset.root="$folder/drive"
