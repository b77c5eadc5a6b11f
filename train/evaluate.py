"""python -m train.evaluate: measures a model on the test samples of a data set."""

from mapanything_data.config import app
from train.stages.evaluate import evaluate

main = app(evaluate)

if __name__ == "__main__":
    main()
