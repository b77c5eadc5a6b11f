"""Print the results of evaluations side by side: python scripts/compare_results.py FOLDER FOLDER ..."""

import sys
from pathlib import Path

from mapanything_data.errors import UserError
from mapanything_data.storage.tables import read_json
from train.evaluation.comparison import comparison_table

try:
    folders = [Path(folder) for folder in sys.argv[1:]]
    print(comparison_table({folder.name: read_json(folder / "results.json") for folder in folders}))
except UserError as error:
    sys.exit(str(error))
