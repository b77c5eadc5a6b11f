"""Uploads to the Hugging Face hub: a queue on disk, commits with retries, shards."""

from __future__ import annotations

from mapanything_data.storage.hub.batches_on_disk import BatchesOnDisk, upload_folder
from mapanything_data.storage.hub.items import Item, OutputTree, find_items
from mapanything_data.storage.hub.progress import UploadSummary
from mapanything_data.storage.hub.shards import Member, read_shard_index, read_shard_member
from mapanything_data.storage.hub.uploader import Uploader

__all__ = [
    "BatchesOnDisk",
    "Item",
    "Member",
    "OutputTree",
    "UploadSummary",
    "Uploader",
    "find_items",
    "read_shard_index",
    "read_shard_member",
    "upload_folder",
]
