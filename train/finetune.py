"""python -m train.finetune: trains a model on views."""

from mapanything_data.config import app
from train.stages.finetune import finetune

main = app(finetune)

if __name__ == "__main__":
    main()
