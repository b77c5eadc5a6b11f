"""python -m mapanything_data.report: one page about a data set."""

from mapanything_data.config import app
from mapanything_data.stages.report import report

main = app(report)

if __name__ == "__main__":
    main()
