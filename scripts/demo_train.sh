#!/usr/bin/env bash
# The three stages of training on a town that is drawn on the spot, with a model that two CPU cores train in minutes;
# then what each stage has learnt, on scenes that no training has seen, beside two models that have learnt nothing.
# What is finished is not done again.
set -euo pipefail

folder=outputs/demo_train
town=(dataset.root="$folder/town" dataset.depth_is_dense=true "dataset.resolution=[84,63]")
runs=(machine=fixture machine.root_experiments_dir="$folder" machine.loader_workers=1)
compact=(model=compact model.size=tiny model.encoder.gradient_checkpointing=false)
agents=(model.agent_embedding=true model.strict=false)  # Stage 1 has one vehicle, so its weights lack the embedding

finetune() {  # EXPERIMENT OVERRIDES...
    python -m train.finetune experiment="$1" "${runs[@]}" "${town[@]}" "${compact[@]}" train_params.amp=none \
        train_params.lr=1e-3 train_params.min_lr=1e-5 train_params.log_freq=50 train_params.limit_eval_samples=32 \
        train_params.max_num_of_imgs_per_gpu=8 model.geometric_inputs.overall=0 \
        "train_params.eval_inputs=[images,agents]" "${@:2}"
}

evaluate() {  # NAME OVERRIDES...
    test -f "$folder/results/$1/results.json" || python -m train.evaluate "${runs[@]}" "${town[@]}" \
        dataset.test_split=test "inputs=[images,agents]" amp=none limit=48 output_dir="$folder/results/$1" "${@:2}"
}

# Exact depth comes with the pictures, so the LiDAR may be coarse.
python -m mapanything_data.collect source=town dataset=opv2v dataset.root="$folder/town" executor=processes \
    source.train=24 source.validate=2 source.test=6 source.frames=8 source.min_agents=2 source.max_agents=3 \
    source.width=224 source.height=168 source.lidar_channels=8 source.lidar_steps=64

finetune opv2v_stage1 model.pretrained=null train_params.epochs=4
finetune opv2v_stage2 "${agents[@]}" train_params.epochs=4 train_params.max_num_of_imgs_per_gpu=12 train_params.lr=3e-4
finetune opv2v_stage3 "${agents[@]}" train_params.epochs=2 train_params.max_num_of_imgs_per_gpu=12 train_params.lr=2e-4

for dataset in opv2v_ft opv2v_coop_ft; do
    evaluate "$dataset/untrained" dataset="$dataset" "${compact[@]}"
    evaluate "$dataset/constant" dataset="$dataset" model=constant model.depth_m=7 model.horizontal_fov_deg=100
    evaluate "$dataset/stage1" dataset="$dataset" "${compact[@]}" \
        model.pretrained="$folder/opv2v_stage1/checkpoint-best.pth"
    for stage in 2 3; do
        evaluate "$dataset/stage$stage" dataset="$dataset" "${compact[@]}" "${agents[@]}" \
            model.pretrained="$folder/opv2v_stage$stage/checkpoint-best.pth"
    done
done

for dataset in opv2v_ft opv2v_coop_ft; do
    python scripts/compare_results.py "$folder/results/$dataset"/{untrained,constant,stage1,stage2,stage3}
done
