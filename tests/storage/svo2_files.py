"""SVO2 files as Stereolabs' SDK lays them out, written with mcap's own writer."""

import base64
import json
import struct

from mcap.writer import CompressionType, Writer


def packed_header(width, height, serial, fps):
    """The 128 bytes of which the first four numbers are known, in base64."""
    return base64.b64encode(struct.pack("<4I", width, height, serial, fps) + bytes(112)).decode()


def svo2_header(width=2560, height=720, serial=18026681, fps=60):
    """What SDK 5 writes; the width is that of both eyes side by side."""
    return {
        "Calib_acc": "",
        "header": packed_header(width, height, serial, fps),
        "version": "2.0.5",
        "ZED_SDK_version": "5.1.2",
    }


def write_svo2(path, header=None, *, topic="svo_header", payload=None, frames=3):
    """Write a file whose header is a JSON object, or any bytes given as `payload`."""
    data = json.dumps(svo2_header() if header is None else header).encode() if payload is None else payload
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start(profile="", library="stereolabs")
        schema = writer.register_schema(name="sl_type", encoding="jsonschema", data=b"{}")
        first = writer.register_channel(topic=topic, message_encoding="json", schema_id=schema)
        writer.add_message(channel_id=first, log_time=0, publish_time=0, data=data)
        video = writer.register_channel(
            topic="Camera_SN18026681/side_by_side", message_encoding="zed_sdk_encoded", schema_id=schema
        )
        for number in range(frames):
            time = number * 16_666_667
            writer.add_message(channel_id=video, log_time=time, publish_time=time, data=bytes(5000))
        writer.finish()
    return path
