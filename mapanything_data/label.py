"""python -m mapanything_data.label: computes labels for the frames of a data set."""

from mapanything_data.config import app
from mapanything_data.stages.label import label

main = app(label)

if __name__ == "__main__":
    main()
