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
    droid_root: str = "???"
    """Folder of DROID's recordings: {lab}/{success or failure}/{date}/{episode}."""
    root_experiments_dir: str = "???"
    """Folder that training runs and evaluations are written to."""
    root_pretrained_checkpoints_dir: str = "???"
    """Folder of downloaded weights, which model.pretrained may point into."""
    workers: int = 0
    """Processes that executors start here; 0 takes one for each core that is allowed."""
    gpus: int = 0
    """GPUs that executors share out between workers; 0 leaves GPUs alone, -1 takes all that are there."""
    workers_per_gpu: int = 0
    """Processes that executors start here for each GPU; 0 leaves their number to `workers`."""
    scratch: str = ""
    """Folder on a fast local disk, where large files are written before they are copied to their place; empty writes
    them there at once."""
    zed_calibrations: str = ""
    """Folder of the factory calibrations of ZED cameras, SN{serial}.conf; empty stands for none."""
    loader_workers: int = 2
    """Processes that read training samples, for each rank; 0 reads them in the rank itself."""
