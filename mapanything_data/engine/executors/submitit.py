"""stub"""

from dataclasses import dataclass


@dataclass
class SubmititExecutor:
    cluster: str = "local"
    jobs: int = 2
