"""Point Cloud Data files: `read_pcd` and `write_pcd`, and the packed colours that they often hold."""

from mapanything_data.storage.pcd.files import PcdFile, read_pcd, write_pcd
from mapanything_data.storage.pcd.rgb import pack_rgb, unpack_rgb

__all__ = ["PcdFile", "pack_rgb", "read_pcd", "unpack_rgb", "write_pcd"]
