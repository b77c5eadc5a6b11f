"""python -m mapanything_data.check: finds what is wrong with a data set."""

from mapanything_data.config import app
from mapanything_data.stages.check import check

main = app(check)

if __name__ == "__main__":
    main()
