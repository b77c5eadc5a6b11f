"""python -m mapanything_data.capture: recordings become numbered frames in segments."""

from mapanything_data.config import app
from mapanything_data.stages.capture import capture

main = app(capture)

if __name__ == "__main__":
    main()
