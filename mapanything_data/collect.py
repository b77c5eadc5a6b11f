"""python -m mapanything_data.collect: records simulated worlds as data sets with perfect ground truth."""

from mapanything_data.config import app
from mapanything_data.stages.collect import collect

main = app(collect)

if __name__ == "__main__":
    main()
