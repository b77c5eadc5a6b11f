"""Files of Stereolabs' ZED cameras that can be read without their SDK."""

from __future__ import annotations

from mapanything_data.storage.zed.conf import FactoryCalibration, FactoryStereo, conf_path, read_conf, rectified
from mapanything_data.storage.zed.sizes import size_of_principal_point
from mapanything_data.storage.zed.svo2 import SvoHeader, read_svo2_header

__all__ = [
    "FactoryCalibration",
    "FactoryStereo",
    "SvoHeader",
    "conf_path",
    "read_conf",
    "read_svo2_header",
    "rectified",
    "size_of_principal_point",
]
