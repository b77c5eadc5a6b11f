"""What is particular to a machine: the only group that holds paths of a host, GPU counts and worker counts."""

from __future__ import annotations

from dataclasses import dataclass

from mapanything_data.config.registry import component


@component("machine", "default")
@dataclass(kw_only=True, slots=True)
class Machine:
    """A machine's folders and what it can do at once."""

    output_root: str = "???"
    """Folder that new data sets are written to."""
    opv2v_images_root: str = "???"
    """Folder of the OPV2V data set: its splits train, validate, test."""
    root_experiments_dir: str = "???"
    """Folder that training runs and evaluations are written to."""
    root_pretrained_checkpoints_dir: str = "???"
    """Folder of downloaded weights, which model.pretrained may point into."""
    workers: int = 0
    """Processes that executors start here; 0 takes one for each core that is allowed."""
    gpus: int = 0
    """GPUs that executors share out between workers; 0 leaves GPUs alone."""
    loader_workers: int = 2
    """Processes that read training samples, for each rank; 0 reads them in the rank itself."""
