#!/usr/bin/env bash
# Learn one scene by heart and measure on the same scene: whoever cannot do this has a broken model, loss or reader.
# scripts/overfit_one_scene.sh [FOLDER] [OVERRIDES of the training...]; a minute on a CPU.
set -euo pipefail

folder="${1:-outputs/overfit_one_scene}"
same=(machine=fixture machine.loader_workers=0 dataset=opv2v_ft_smoke model=compact model.size=tiny)
same_colours=(dataset.colour.brightness=0 dataset.colour.contrast=0 dataset.colour.saturation=0 dataset.colour.hue=0
    dataset.colour.gamma=0)

python -m train.finetune "${same[@]}" "${same_colours[@]}" output_dir="$folder/run" model.geometric_inputs.overall=0 \
    train_params.amp=none train_params.max_num_of_imgs_per_gpu=8 train_params.epochs=200 train_params.warmup_epochs=10 \
    train_params.lr=3e-3 train_params.min_lr=1e-5 train_params.weight_decay=0 train_params.eval_freq=0 \
    train_params.save_freq=100 train_params.log_freq=50 "${@:2}"

# Training and testing on one split is refused, so the splits change places.
python -m train.evaluate "${same[@]}" dataset.train_split=test dataset.test_split=train amp=none \
    model.pretrained="$folder/run/checkpoint-final.pth" output_dir="$folder/results"
