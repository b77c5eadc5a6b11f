#!/usr/bin/env bash
# The main jobs on recordings of its own: a drawn clip is captured, a drawn town is collected and labelled; both are
# checked and reported on. What is finished is not done again.
set -euo pipefail

folder=outputs/demo
mkdir -p "$folder"
test -f "$folder/drive.mp4" || python scripts/draw_clip.py "$folder/drive.mp4"

python -m mapanything_data.capture source=video source.path="$folder/drive.mp4" dataset.root="$folder/drive"
python -m mapanything_data.check dataset=segments dataset.root="$folder/drive"
python -m mapanything_data.report dataset=segments dataset.root="$folder/drive"

python -m mapanything_data.collect source=town dataset=opv2v dataset.root="$folder/town" \
    source.train=1 source.validate=1 source.test=1 source.frames=4 source.max_agents=3 executor=processes
for labeler in lidar_depth boxes3d; do
    python -m mapanything_data.label dataset=opv2v dataset.root="$folder/town" labeler="$labeler" executor=processes
done
python -m mapanything_data.check dataset=opv2v dataset.root="$folder/town" executor=processes
python -m mapanything_data.report dataset=opv2v dataset.root="$folder/town"
