"""python -m mapanything_data.upload: takes finished episodes to the Hugging Face hub."""

from mapanything_data.config import app
from mapanything_data.stages.upload import upload

main = app(upload)

if __name__ == "__main__":
    main()
