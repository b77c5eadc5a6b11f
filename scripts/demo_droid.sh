#!/usr/bin/env bash
# Drawn episodes of DROID, ten of them or as many as are asked for: tracks, then depth from stereo, then the check, the
# report, a depth video verified, and what an upload would send. What is finished is not done again.
set -euo pipefail

folder=outputs/demo_droid
raw="$folder/recordings"
test -d "$raw" || python scripts/draw_droid.py "$raw" "${1:-10}"

options=(machine=fixture "dataset.recordings=$raw" "dataset.root=$folder/made")
recipe=("${options[@]}" "intrinsics.json=$raw/intrinsics.json" labeler.occlusion_m=0.03)
python -m mapanything_data.tracks experiment=droid_metadata_only "${recipe[@]}"
python -m mapanything_data.tracks experiment=droid_full source=droid_stereo "${recipe[@]}"

python -m mapanything_data.check dataset=droid "${options[@]}"
python -m mapanything_data.report dataset=droid "${options[@]}"
python -m mapanything_data.depth_video machine=fixture path="$folder/made" action=verify
python -m mapanything_data.upload machine=fixture dataset.root="$folder/made" hub.full_repo=me/droid-full \
    hub.metadata_repo=me/droid-metadata dry_run=true
