"""Groups that say where a run takes place."""
